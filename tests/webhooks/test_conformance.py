"""`boxyard consumer-test` passes consumers that are right, and names what others do wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler

import pytest

from boxyard_producer.conformance import Finding, Trial, make_cases
from boxyard_schemas import MAX_EVENT_BYTES
from boxyard_schemas.errors import SetupError
from receivers import Answer, Receiver, drip, reset, say

from .conftest import OLD, SECRET
from .consumers import (
    Consumer,
    Judge,
    careless,
    closed,
    forgetful,
    hasty,
    narrow,
    rewriting,
    strict,
    timeless,
    trusting,
)

ACCEPTED = {case.name for case in make_cases(SECRET, [OLD]) if case.accepted}
REFUSED = {case.name for case in make_cases(SECRET, [OLD])} - ACCEPTED
LATE = {"signed ten minutes ago", "signed ten minutes ahead"}
WITHOUT = {"without webhook-id", "without webhook-timestamp", "without webhook-signature"}


def trial(url: str, *, probe: str | None = None, limit_s: float = 15) -> list[Finding]:
    async def collect() -> list[Finding]:
        run = Trial(url, probe=probe, limit_s=limit_s).run(make_cases(SECRET, [OLD]))
        return [finding async for finding in run]

    return asyncio.run(collect())


def wrong(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if not finding.ok}


def test_a_consumer_that_is_right_passes_and_is_seen_to_act_once() -> None:
    with Consumer() as consumer:
        findings = trial(consumer.url, probe=consumer.url)
        posted = [each for each in consumer.requests if each.method == "POST"]
    assert wrong(findings) == set()
    assert {finding.name for finding in findings} == ACCEPTED | REFUSED | {"every answer in time"}
    assert consumer.acts == len(ACCEPTED) - 2  # one is a repetition, one of an unknown type
    assert max(len(each.body) for each in posted) == MAX_EVENT_BYTES - 1
    assert posted[0].body == posted[1].body
    assert posted[0].headers["webhook-id"] == posted[1].headers["webhook-id"]


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (trusting, REFUSED),
        (timeless, LATE),
        (forgetful, {"signed by old secret 1"}),
        (hasty, {"signed by a newer secret too"}),
        (rewriting, ACCEPTED),
        (narrow, {"an event of 20 kB"}),
        (closed, {"an unknown type of event"}),
        (strict, {"members that are new"}),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_a_consumer_that_is_wrong_in_one_way_is_told_of_it(
    judge: Judge, expected: set[str]
) -> None:
    with Consumer(judge) as consumer:
        assert wrong(trial(consumer.url)) == expected


def test_a_consumer_that_breaks_where_a_header_is_missing_is_told_of_it() -> None:
    with Consumer(careless, failure=500) as consumer:
        assert wrong(trial(consumer.url)) == {"without webhook-id"}


def test_a_consumer_that_acts_twice_is_found_by_its_probe_alone() -> None:
    with Consumer(deduplicates=False) as consumer:
        assert wrong(trial(consumer.url)) == set()
        assert wrong(trial(consumer.url, probe=consumer.url)) == {"the same event again"}


def test_a_consumer_that_refuses_and_acts_all_the_same_is_found_by_its_probe() -> None:
    class Hypocrite(Consumer):
        def _consume(self, headers: object, body: bytes) -> int:
            self.acts += 1
            return super()._consume(headers, body)  # type: ignore[arg-type]

    with Hypocrite() as consumer:
        found = wrong(trial(consumer.url, probe=consumer.url))
    assert found == REFUSED | {"the same event again"}


def redirect(handler: BaseHTTPRequestHandler) -> None:
    say(307, Location="/")(handler)


def late(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.15)
    say(204)(handler)


def test_a_redirect_is_neither_taken_nor_followed() -> None:
    with Receiver(redirect) as receiver:
        findings = trial(receiver.url)
        assert wrong(findings) == ACCEPTED | REFUSED
        assert len(receiver.requests) == len(ACCEPTED | REFUSED)


@pytest.mark.parametrize("answer", [late, drip], ids=["late", "drip"])
def test_an_answer_that_does_not_come_in_time_is_none(answer: Answer) -> None:
    with Receiver(answer) as receiver:
        findings = trial(receiver.url, limit_s=0.1)
    assert wrong(findings) == ACCEPTED | REFUSED | {"every answer in time"}
    assert findings[0].found == "no answer in 0.1 s"


def test_a_connection_that_is_reset_is_no_answer() -> None:
    with Receiver(reset) as receiver:
        assert wrong(trial(receiver.url)) == ACCEPTED | REFUSED


def test_where_nobody_listens_everything_is_wrong() -> None:
    assert wrong(trial("http://127.0.0.1:1/")) == ACCEPTED | REFUSED
    with Consumer() as consumer, pytest.raises(SetupError, match="probe"):
        trial(consumer.url, probe="http://127.0.0.1:1/")


def boxyard(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "boxyard_producer.cli", "consumer-test", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_prints_a_table_and_fails_when_something_is_wrong() -> None:
    with Consumer() as consumer:
        good = boxyard(consumer.url, "--secret", SECRET, "--old-secret", OLD)
        assert good.returncode == 0, good.stderr
        assert "wrong" not in good.stdout
        assert good.stdout.count("ok ") == len(ACCEPTED | REFUSED) + 1
    with Consumer(timeless) as consumer:
        bad = boxyard(consumer.url, "--secret", SECRET, "--json")
    lines = [json.loads(line) for line in bad.stdout.splitlines()]
    assert bad.returncode == 1, bad.stderr
    assert {line["name"] for line in lines if not line["ok"]} == LATE


def test_a_secret_that_is_none_is_said_before_anything_is_sent() -> None:
    done = boxyard("http://127.0.0.1:1/", "--secret", "whsec_a b")
    assert (done.returncode, done.stderr) == (1, "Error: The secret is not `whsec_` and base64.\n")
