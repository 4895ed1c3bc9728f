"""`boxyard consumer-test` passes consumers that are right, and names what others do wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from itertools import islice
from threading import Barrier

import pytest

from boxyard_producer.conformance import Finding, Trial, make_cases
from boxyard_producer.conformance.judgement import judge
from boxyard_schemas import MAX_EVENT_BYTES, Event
from boxyard_schemas.errors import SetupError
from receivers import Answer, Receiver, drip, reset, say

from .conftest import OLD, SECRET
from .consumers import (
    Consumer,
    Judge,
    Key,
    ascii_only,
    believing,
    careless,
    closed,
    commas,
    expectant,
    forgetful,
    hasty,
    job_id,
    narrow,
    of_today,
    prefixed,
    reckoning,
    rewriting,
    signed,
    strict,
    timeless,
    trusting,
    versionless,
)

RESULT_URL = "https://boxyard.example.com/v1/jobs/job_01a1fcd1c3b8f5779c6eb23800d58fc1/result"
CASES = list(make_cases(SECRET, [OLD], RESULT_URL))
ACCEPTED = {case.name for case in CASES if case.accepted}
REFUSED = {case.name for case in CASES} - ACCEPTED
LATE = {"signed ten minutes ago", "signed ten minutes ahead"}
RESULTLESS = {"a job that died"} | {
    f"a job that ended as {state}, without a result" for state in ("failed", "cancelled", "expired")
}


def trial(
    url: str,
    *,
    probe: str | None = None,
    limit_s: float = 15,
    first: int = 0,
    cases: int | None = None,
) -> list[Finding]:
    sent = islice(make_cases(SECRET, [OLD], RESULT_URL), first, cases)

    async def collect() -> list[Finding]:
        run = Trial(url, probe=probe, limit_s=limit_s).run(sent)
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
    assert not any(finding.advice for finding in findings)
    # One is a repetition, two are of a type or a version that is not known.
    assert consumer.acts == len(ACCEPTED) - 3
    assert max(len(each.body) for each in posted) == MAX_EVENT_BYTES - 1
    first, again = posted[0], posted[1]
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != again.headers["webhook-timestamp"]


def test_events_are_written_as_the_service_writes_them() -> None:
    body = CASES[0].body
    assert body == Event.model_validate_json(body).model_dump_json(exclude_none=True).encode()
    assert not body.isascii()


@pytest.mark.parametrize(
    ("wrongly", "expected", "advised"),
    [
        (trusting, REFUSED, "HMAC-SHA256"),
        (timeless, LATE, "five minutes"),
        (forgetful, {"signed by old secret 1"}, "this old secret"),
        (hasty, {"signed by a newer secret too", "signed in a newer way too"}, "spaces"),
        (commas, {"signed by an older secret too", "a signature of version v1a"}, "spaces"),
        (versionless, {"a signature of version v1a"}, "v1's HMAC"),
        (believing, {"an empty signature"}, "empty"),
        (
            prefixed,
            {
                "a signature cut short",
                "a signature that is none",
                "a signature without a value",
                "an empty signature",
            },
            "all of it",
        ),
        (rewriting, {"JSON with other spaces"}, "bytes as they came"),
        (ascii_only, ACCEPTED - {"JSON with other spaces"}, "bytes as they came"),
        (narrow, {"an event of 20 kB"}, "20 kB"),
        (expectant, RESULTLESS | {"a result that is linked"}, "every end"),
        (closed, {"an unknown type of event"}, "do not know"),
        (of_today, {"an unknown version"}, "do not know"),
        (strict, {"members that are new"}, "do not know"),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_a_consumer_that_is_wrong_in_one_way_is_told_of_it(
    wrongly: Judge, expected: set[str], advised: str
) -> None:
    with Consumer(wrongly) as consumer:
        findings = trial(consumer.url)
    assert wrong(findings) == expected
    assert any(advised in finding.advice for finding in findings)


@pytest.mark.parametrize(
    ("wrongly", "expected"),
    [(careless, "without webhook-id"), (reckoning, "a time that is none")],
    ids=["careless", "reckoning"],
)
def test_a_consumer_that_breaks_where_a_header_is_out_of_shape_is_told_of_it(
    wrongly: Judge, expected: str
) -> None:
    with Consumer(wrongly, failure=500) as consumer:
        assert wrong(trial(consumer.url)) == {expected}


def test_a_refusal_that_would_disable_the_endpoint_is_wrong() -> None:
    with Consumer(refusal=410) as consumer:
        findings = trial(consumer.url)
    assert wrong(findings) == REFUSED
    assert {finding.advice for finding in findings if not finding.ok} == {
        "Keep 410 for when you want no more callbacks: it disables the endpoint."
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, {"the same event again", "an event twice at once"}),
        (job_id, {"the same job, replayed"}),
        (signed, {"the same event again"}),
    ],
    ids=["nothing", "job", "signature"],
)
def test_a_consumer_that_deduplicates_by_the_wrong_thing_is_found_by_its_probe_alone(
    key: Key | None, expected: set[str]
) -> None:
    with Consumer(key=key) as consumer:
        assert wrong(trial(consumer.url, cases=5)) == set()
        assert wrong(trial(consumer.url, probe=consumer.url, cases=5)) == expected


def test_a_consumer_that_looks_an_id_up_and_notes_it_later_is_found_by_two_at_once() -> None:
    with Consumer(together=Barrier(2)) as consumer:
        findings = trial(consumer.url, probe=consumer.url, first=2, cases=3)
    assert wrong(findings) == {"an event twice at once"}
    assert findings[0].found == "204 and 204, acted 2 times"
    assert "in one step" in findings[0].advice


def test_the_second_of_two_at_once_may_be_told_to_come_again() -> None:
    case = CASES[2]
    assert judge(case, [204, 409], 1) == judge(case, [503, 200], 1) == ""
    assert judge(case, [204, 400], 1) == judge(case, [409, 409], 0) == case.advice


def test_a_consumer_that_acts_later_is_waited_for_and_its_second_act_is_seen() -> None:
    with Consumer(lateness_s=0.4) as consumer:
        assert wrong(trial(consumer.url, probe=consumer.url, cases=3)) == set()
    # It is waited for twice as long as the first act took: a second here, for slow machines.
    with Consumer(lateness_s=1, key=None) as consumer:
        findings = trial(consumer.url, probe=consumer.url, cases=3)
    assert wrong(findings) == {"the same event again", "an event twice at once"}


def test_a_probe_that_is_slow_is_asked_once_more_when_its_time_is_over() -> None:
    class Slow(Consumer):
        def _respond(self, handler: BaseHTTPRequestHandler) -> None:
            if handler.command == "GET":
                known = str(self.acts).encode()
                time.sleep(0.5)
                say(200, known)(handler)
            else:
                super()._respond(handler)

    with Slow(lateness_s=0.1) as consumer:
        findings = trial(consumer.url, probe=consumer.url, first=1, cases=2)
    assert wrong(findings) == {"the same event again"}, "it was the first, and was acted on"


def test_a_consumer_that_refuses_and_acts_all_the_same_is_found_by_its_probe() -> None:
    class Hypocrite(Consumer):
        def _consume(self, headers: object, body: bytes) -> int:
            self.acts += 1
            return super()._consume(headers, body)  # type: ignore[arg-type]

    with Hypocrite() as consumer:
        findings = trial(consumer.url, probe=consumer.url)
    assert wrong(findings) == REFUSED | {"the same event again"}
    told = {finding.name: finding.advice for finding in findings}
    assert {told[name] for name in REFUSED} == {"Verify before you act on anything."}


def redirect(handler: BaseHTTPRequestHandler) -> None:
    say(307, Location="/")(handler)


def late(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.recv(1)  # until nobody waits any more
    say(204)(handler)


def test_a_redirect_is_neither_taken_nor_followed() -> None:
    with Receiver(redirect) as receiver:
        findings = trial(receiver.url)
        assert wrong(findings) == ACCEPTED | REFUSED
        assert len(receiver.requests) == sum(case.at_once for case in CASES)
    assert "redirects are not followed" in findings[0].advice


@pytest.mark.parametrize("answer", [late, drip], ids=["late", "drip"])
def test_an_answer_that_does_not_come_in_time_is_none(answer: Answer) -> None:
    with Receiver(answer) as receiver:
        findings = trial(receiver.url, limit_s=0.1)
        assert len(receiver.requests) <= 1, "the others would take as long"
    assert wrong(findings) == {"a genuine event", "every answer in time"}
    assert "answers soon" in findings[0].advice
    assert findings[0].found == "no answer in 0.1 s"


def test_a_connection_that_is_reset_is_no_answer() -> None:
    with Receiver(reset) as receiver:
        assert wrong(trial(receiver.url)) == {"a genuine event"}


def test_a_consumer_that_answers_late_now_and_then_is_tried_to_the_end() -> None:
    with Receiver(say(204), late, say(204)) as receiver:
        findings = trial(receiver.url, limit_s=6, cases=4)
    assert wrong(findings) == {"the same event again", "every answer in time"}
    assert len(findings) == 5


def test_where_nobody_listens_nothing_more_is_tried() -> None:
    findings = trial("http://127.0.0.1:1/")
    assert wrong(findings) == {"a genuine event"}
    assert "listens at this URL" in findings[0].advice
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
        assert good.stdout.count("ok ") == len(ACCEPTED | REFUSED)  # no link, but the time
        assert good.stdout.rstrip().endswith(" ms"), "there is no advice where all is well"


def test_the_command_says_once_what_to_do_about_what_is_wrong() -> None:
    with Consumer(timeless) as consumer:
        bad = boxyard(consumer.url, "--secret", SECRET, "--result-url", RESULT_URL)
        as_json = boxyard(consumer.url, "--secret", SECRET, "--json")
    assert (bad.returncode, as_json.returncode) == (1, 1), bad.stderr
    assert "signed ten minutes ago, signed ten minutes ahead:\n  Refuse" in bad.stdout
    assert "a result that is linked" in bad.stdout
    lines = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert {line["name"] for line in lines if not line["ok"]} == LATE


def test_a_secret_that_is_none_is_said_before_anything_is_sent() -> None:
    done = boxyard("http://127.0.0.1:1/", "--secret", "whsec_a b")
    assert (done.returncode, done.stderr) == (1, "Error: The secret is not `whsec_` and base64.\n")
