"""What a consumer is sent, what it has to answer, and what to do where it answers otherwise."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from boxyard_schemas import JobState, new_id

from ..webhooks import sign
from ..webhooks.signatures import ID, SIGNATURE, TIMESTAMP, keys, signature
from .events import Members, encode, encode_otherwise, large, linked, succeeded, without_result

_WELL_OFF_S = 600
_EARLIER_S = 30

_FIRST = (
    "See that the URL is your consumer's, that it has the secret which was given here, that it "
    "verifies the bytes as they came (docs/consumers.md has a signature to compare yours with), "
    "and that it acts on a job that succeeded before it answers 2xx."
)
_AGAIN = (
    "Answer 2xx to a webhook-id that you have acted on, and do not act. Remember the id alone: "
    "time and signature are new at each attempt."
)
_AT_ONCE = (
    "Claim the id and act in one step (a unique column in the act's transaction, or `once` of the "
    "kit): two attempts may overlap. Answer 2xx to both, or 409 to the second."
)
_JOB_AGAIN = "Deduplicate by webhook-id, not by job: one that is replayed ends again, as told here."
_NO_RESULT = "Answer 2xx to every end of a job; most have neither `result` nor `result_url`."
_LINKED = "Read `result_url` with an API key that may read, then answer 2xx."
_EXACT = (
    "Verify the bytes as they came, not parsed and written again; then read them with a JSON "
    "parser: this event has other spaces and escapes."
)
_CAPITALS = "Look headers up without regard to capitals: a proxy may write Webhook-Id."
_EVERY = (
    "Part webhook-signature at its spaces and compare every part; pass over those of a version "
    "other than v1."
)
_OLD = "Verify with this old secret too, until the overlap of the rotation is over."
_STALE = "Refuse what was signed more than five minutes from now: somebody may play a recording."
_FORGED = "Refuse with 4xx: compute v1's HMAC-SHA256 over id.timestamp.body, and compare all of it."
_SHAPELESS = "Refuse with 4xx a header that is missing, empty or out of shape; 5xx brings it again."
_UNKNOWN = "Answer 2xx to types, versions and members that you do not know: more will come."


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: what it is.
        headers: all of them.
        body: as it is posted.
        accepted: 2xx is wanted, else 4xx.
        acts: whether the consumer has to act on it; None where that is its own business.
        advice: what to do where a consumer takes it otherwise.
        at_once: how often it is sent at the same moment.
    """

    name: str
    headers: dict[str, str]
    body: bytes
    accepted: bool
    acts: bool | None
    advice: str
    at_once: int = 1


def make_cases(
    secret: str, old_secrets: Sequence[str] = (), result_url: str | None = None
) -> Iterator[Case]:
    """All cases, each signed when it is asked for.

    Args:
        secret: what signs.
        old_secrets: what the consumer still has to take beside it.
        result_url: of a result that the consumer can read.
    """
    yield from _genuine(secret)
    yield from _ended(secret, result_url)
    yield from _written(secret)
    yield from _rotated(secret, old_secrets)
    yield from _forged(secret)
    yield from _shapeless(secret)
    yield from _newer(secret)


def _genuine(secret: str) -> Iterator[Case]:
    event_id, body = new_id("dlv"), encode(succeeded())
    yield Case("a genuine event", sign(event_id, body, secret), body, True, True, _FIRST)
    again = sign(event_id, body, secret, at=time.time() - _EARLIER_S)
    yield Case("the same event again", again, body, True, False, _AGAIN)
    body = encode(succeeded())
    twice = sign(new_id("dlv"), body, secret)
    yield Case("an event twice at once", twice, body, True, True, _AT_ONCE, at_once=2)


def _ended(secret: str, result_url: str | None) -> Iterator[Case]:
    job_id = new_id("job")
    yield _good("a job that died", secret, without_result(JobState.DEAD, job_id=job_id), _NO_RESULT)
    again = succeeded(job_id=job_id)
    yield _good("the same job, replayed", secret, again, _JOB_AGAIN, acts=True)
    for state in (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED):
        event = without_result(state)
        yield _good(f"a job that ended as {state}, without a result", secret, event, _NO_RESULT)
    if result_url:
        event = linked(result_url)
        yield _good("a result that is linked", secret, event, _LINKED, acts=True)


def _written(secret: str) -> Iterator[Case]:
    body = large()
    most = "Take bodies of up to 20 kB."
    yield Case("an event of 20 kB", sign(new_id("dlv"), body, secret), body, True, True, most)
    body = encode_otherwise(succeeded())
    headers = sign(new_id("dlv"), body, secret)
    yield Case("JSON with other spaces", headers, body, True, True, _EXACT)
    body = encode(succeeded())
    headers = {name.title(): value for name, value in sign(new_id("dlv"), body, secret).items()}
    yield Case("header names in capitals", headers, body, True, True, _CAPITALS)


def _rotated(secret: str, old_secrets: Sequence[str]) -> Iterator[Case]:
    for name, signing, advice in (
        ("signed by a newer secret too", [_random_secret(), secret], _EVERY),
        ("signed by an older secret too", [secret, _random_secret()], _EVERY),
        *((f"signed by old secret {at}", [old], _OLD) for at, old in enumerate(old_secrets, 1)),
    ):
        body = encode(succeeded())
        yield Case(name, sign(new_id("dlv"), body, signing), body, True, True, advice)
    body = encode(succeeded())
    headers = sign(new_id("dlv"), body, secret)
    headers[SIGNATURE] = f"v2,bmV3ZXI= {headers[SIGNATURE]}"
    yield Case("signed in a newer way too", headers, body, True, True, _EVERY)


def _forged(secret: str) -> Iterator[Case]:
    event_id, body = new_id("dlv"), encode(succeeded())
    good, now = sign(event_id, body, secret), time.time()
    made = good[SIGNATURE]
    touched = body.replace(b'"total":2', b'"total":3')
    for name, headers, sent, advice in (
        (
            "signed ten minutes ago",
            sign(event_id, body, secret, at=now - _WELL_OFF_S),
            body,
            _STALE,
        ),
        (
            "signed ten minutes ahead",
            sign(event_id, body, secret, at=now + _WELL_OFF_S),
            body,
            _STALE,
        ),
        ("signed by another secret", sign(event_id, body, _random_secret()), body, _FORGED),
        ("a body that was touched", good, touched, _FORGED),
        ("an id that was changed", good | {ID: new_id("dlv")}, body, _FORGED),
        ("a signature cut short", good | {SIGNATURE: made[:20]}, body, _FORGED),
        (
            "a signature of version v1a",
            good | {SIGNATURE: made.replace("v1,", "v1a,")},
            body,
            _FORGED,
        ),
    ):
        yield Case(name, headers, sent, False, False, advice)


def _shapeless(secret: str) -> Iterator[Case]:
    event_id, body = new_id("dlv"), encode(succeeded())
    good = sign(event_id, body, secret)
    (key,) = keys(secret)
    timeless = signature(key, event_id, "soon", body)
    for name, headers in (
        ("a signature that is none", good | {SIGNATURE: "v1,a, v1 ,"}),
        ("a signature without a value", good | {SIGNATURE: "v1,"}),
        ("an empty signature", good | {SIGNATURE: ""}),
        ("a time that is none", good | {TIMESTAMP: "soon", SIGNATURE: timeless}),
        *((f"without {name}", _without(good, name)) for name in (ID, TIMESTAMP, SIGNATURE)),
    ):
        yield Case(name, headers, body, False, False, _SHAPELESS)


def _newer(secret: str) -> Iterator[Case]:
    yield _good("an unknown type of event", secret, succeeded() | {"type": "job.paused"}, _UNKNOWN)
    yield _good("an unknown version", secret, succeeded() | {"version": 2}, _UNKNOWN)
    more = succeeded() | {"colour": "blue"}
    more["data"]["job"]["colour"] = {"more": [1]}
    yield _good("members that are new", secret, more, _UNKNOWN, acts=True)


def _good(name: str, secret: str, event: Members, advice: str, *, acts: bool | None = None) -> Case:
    body = encode(event)
    return Case(name, sign(new_id("dlv"), body, secret), body, True, acts, advice)


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {each: value for each, value in headers.items() if each != name}


def _random_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
