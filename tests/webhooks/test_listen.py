"""`boxyard listen` as its users run it: a process that callbacks are sent to."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from boxyard_producer.webhooks import sign
from process import Process, await_true
from receivers import Receiver, say

from .conftest import EVENT, OLD, SECRET

_LISTENING = re.compile(r"Listening on (http://127\.0\.0\.1:\d+)")


class Listening(Process):
    """`boxyard listen` on a port of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "boxyard_producer.cli", "listen", "--port", "0", *options]
        super().__init__("listen", command, {**os.environ, **environment}, folder)
        self.await_alive(lambda: _LISTENING.search(self.text()) is not None)
        found = _LISTENING.search(self.text())
        assert found
        self.url = found[1] + "/any/path"

    def said(self, count: int) -> list[dict[str, Any]]:
        """So many JSON lines, once they are there."""
        await_true(lambda: len(self._lines()) >= count, f"{count} lines", self.tail)
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        lines = self.text().splitlines(keepends=True)
        return [line for line in lines if line[0] == "{" and line[-1] == "\n"]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    process = Listening(tmp_path, "--json", "--secret", SECRET, "--secret", OLD)
    yield process
    process.close()


def post(
    url: str, headers: dict[str, str], body: bytes | Iterator[bytes] = EVENT
) -> httpx.Response:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return httpx.post(url, content=body, headers=raw, trust_env=False, timeout=60)


def test_what_comes_is_verified_printed_and_answered(
    listening: Listening, event_id: str, headers: dict[str, str]
) -> None:
    newer = json.dumps({"type": "job.paused"}).encode()
    calls = [
        (headers, EVENT),
        (sign(event_id, EVENT, OLD), EVENT),
        (headers, EVENT + b" "),
        (sign("dlv_2", newer, SECRET), newer),
    ]
    answers = [post(listening.url, sent, body).status_code for sent, body in calls]
    said = listening.said(4)
    assert answers == [line["answer"] for line in said] == [204, 204, 400, 202]
    assert [line["times"] for line in said] == [1, 2, 0, 0]
    assert [line["reason"] for line in said] == [None, None, "signature-wrong", "unknown-event"]
    assert said[0]["event"]["id"] == event_id
    assert said[0]["event"]["data"]["job"] == {
        name: value for name, value in json.loads(EVENT)["data"]["job"].items() if value is not None
    }
    assert listening.stop() == 0
    assert listening.text().endswith("stopped\n")


def test_the_very_request_is_passed_on_and_the_very_answer_comes_back(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    odd, packed = b"\r\n" + EVENT + b"\x00\xff \n", gzip.compress(b"gone")
    with Receiver(
        say(503, packed, Content_Encoding="gzip", Retry_After="7", X_Mine="yes")
    ) as receiver:
        process = Listening(
            tmp_path, "--json", "--forward", f"{receiver.url}/hook?a=1", BOXYARD_WEBHOOK_SECRET=OLD
        )
        try:
            answer = post(process.url, headers | {"X-Trace": "ä"}, odd)
            (said,) = process.said(1)
        finally:
            process.close()
    (received,) = receiver.requests
    assert (received.path, received.body) == ("/hook?a=1", odd)
    passed = {name.lower(): value for name, value in headers.items()}
    assert passed.items() <= received.headers.items()
    assert received.headers["x-trace"] == "ä"
    own = {"accept", "accept-encoding", "content-length", "host", "user-agent", "x-trace"}
    assert received.headers.keys() == passed.keys() | own
    assert (answer.status_code, answer.content) == (503, b"gone")
    assert (answer.headers["retry-after"], answer.headers["x-mine"]) == ("7", "yes")
    assert (said["reason"], said["answer"], said["size"]) == ("signature-wrong", 503, len(odd))


def test_a_receiver_that_is_not_there_is_a_502(tmp_path: Path, headers: dict[str, str]) -> None:
    process = Listening(tmp_path, "--forward", "http://127.0.0.1:1/", "--secret", SECRET)
    try:
        answer = post(process.url, headers)
        await_true(lambda: "→ 502" in process.text(), "its line", process.tail)
    finally:
        process.close()
    assert (answer.status_code, "gave no answer" in answer.text) == (502, True)
    line = process.text().splitlines()[-1]
    assert "job.succeeded job_01a1fcd1c3b8f5779c6eb23800d58fc1 1 of 2 pictures dlv_" in line


def test_a_request_without_a_length_or_with_a_huge_one_is_refused(listening: Listening) -> None:
    assert post(listening.url, {}, iter([b"{}"])).status_code == 411
    assert post(listening.url, {}, b"x" * ((1 << 20) + 1)).status_code == 413
    assert post(listening.url, {"X-Bell": "\x07"}, b"x").status_code == 400
    assert listening.said(1)[0]["reason"] == "header-missing"
