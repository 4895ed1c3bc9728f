"""What a consumer is sent, and what it has to answer."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from boxyard_schemas import (
    MAX_EVENT_BYTES,
    Event,
    EventData,
    EventType,
    ImageCounts,
    ImageFailure,
    Job,
    JobResult,
    JobState,
    Provenance,
    new_id,
)
from boxyard_schemas.words import utc_now

from ..webhooks import sign

_MODEL = "consumer-test"
_WELL_OFF_S = 600


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: what it is.
        headers: all of them.
        body: as it is posted.
        accepted: 2xx is wanted, else 4xx.
        acts: whether the consumer has to act on it; None where that is its own business.
    """

    name: str
    headers: dict[str, str]
    body: bytes
    accepted: bool
    acts: bool | None


def make_cases(secret: str, old_secrets: Sequence[str] = ()) -> Iterator[Case]:
    """All cases, each signed when it is asked for.

    Args:
        secret: what signs.
        old_secrets: what the consumer still has to take beside it.
    """
    yield from _genuine(secret)
    yield from _rotated(secret, old_secrets)
    yield from _forged(secret)
    yield from _newer(secret)


def _genuine(secret: str) -> Iterator[Case]:
    event_id, body = new_id("dlv"), _encode(_event())
    yield Case("a genuine event", sign(event_id, body, secret), body, True, True)
    yield Case("the same event again", sign(event_id, body, secret), body, True, False)
    large = _grown(_event())
    yield Case("an event of 20 kB", sign(new_id("dlv"), large, secret), large, True, True)


def _rotated(secret: str, old_secrets: Sequence[str]) -> Iterator[Case]:
    for name, signing in (
        ("signed by a newer secret too", [_random_secret(), secret]),
        ("signed by an older secret too", [secret, _random_secret()]),
        *((f"signed by old secret {at}", [old]) for at, old in enumerate(old_secrets, 1)),
    ):
        body = _encode(_event())
        yield Case(name, sign(new_id("dlv"), body, signing), body, True, True)


def _forged(secret: str) -> Iterator[Case]:
    event_id, body = new_id("dlv"), _encode(_event())
    good, now = sign(event_id, body, secret), time.time()
    touched = body.replace(b'"total":1', b'"total":2')
    for name, headers, sent in (
        ("signed ten minutes ago", sign(event_id, body, secret, at=now - _WELL_OFF_S), body),
        ("signed ten minutes ahead", sign(event_id, body, secret, at=now + _WELL_OFF_S), body),
        ("signed by another secret", sign(event_id, body, _random_secret()), body),
        ("a body that was touched", good, touched),
        ("an id that was changed", good | {"webhook-id": new_id("dlv")}, body),
        ("a signature that is none", good | {"webhook-signature": "v1,a, v1 ,"}, body),
        *((f"without {name}", _without(good, name), body) for name in good if name[0] == "w"),
    ):
        yield Case(name, headers, sent, False, False)


def _newer(secret: str) -> Iterator[Case]:
    more = _event() | {"type": "job.paused"}
    body = _encode(more)
    yield Case("an unknown type of event", sign(new_id("dlv"), body, secret), body, True, None)
    more = _event() | {"colour": "blue"}
    more["data"]["job"]["colour"] = {"more": [1]}
    body = _encode(more)
    yield Case("members that are new", sign(new_id("dlv"), body, secret), body, True, True)


def _event() -> dict[str, Any]:
    """A job that ended, as the service tells of it."""
    now = utc_now()
    job = Job(
        id=new_id("job"),
        model=_MODEL,
        state=JobState.FAILED,
        images=ImageCounts(total=1, failed=1),
        attempts=1,
        created_at=now,
        started_at=now,
        finished_at=now,
        reason="This is a test of the consumer.",
        metadata={"boxyard": "consumer-test"},
    )
    data = EventData(job=job, result=_result(job))
    event = Event(type=EventType.FAILED, timestamp=now, data=data)
    return event.model_dump(mode="json", exclude_none=True)


def _result(job: Job) -> JobResult:
    made_by = Provenance(
        model=_MODEL,
        weights_sha256="0" * 64,
        config_sha256="0" * 64,
        device="none",
        precision="none",
        versions={},
    )
    picture = ImageFailure(code="consumer-test", detail="No picture was looked at.")
    return JobResult(job=job.id, images=(picture,), provenance=made_by)


def _grown(event: dict[str, Any]) -> bytes:
    """The event, one byte under the bound."""
    picture = event["data"]["result"]["images"][0]
    picture["detail"] += "." * (MAX_EVENT_BYTES - 1 - len(_encode(event)))
    return _encode(event)


def _encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {each: value for each, value in headers.items() if each != name}


def _random_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
