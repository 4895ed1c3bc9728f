"""`verify` and the official library agree, and whatever comes is an event or one clear error."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http.request import HttpHeaders
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.datastructures import Headers as StarletteHeaders
from werkzeug.datastructures import EnvironHeaders

from boxyard_producer.webhooks import UnknownEvent, WebhookInvalid, sign, verify
from boxyard_schemas import Event, EventType

from .conftest import EVENT, OLD, SECRET

anything = st.text(st.characters(codec=None, exclude_categories=()))
encodable = st.text(st.characters(codec="utf-8"), min_size=1)
in_time = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""As long as it takes: other tests run beside these."""
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")


def reason(headers: Mapping[str, str], body: bytes = EVENT, secret: Any = SECRET) -> str:
    with pytest.raises(WebhookInvalid) as caught:
        verify(headers, body, secret)
    return caught.value.reason


def officially(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """What the official library says; it also raises ValueError on what is malformed."""
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def test_a_genuine_callback_is_an_event_with_its_id(headers: dict[str, str], event_id: str) -> None:
    event = verify(headers, EVENT, SECRET)
    assert isinstance(event, Event)
    assert (event.id, event.type, event.data.job.metadata) == (
        event_id,
        EventType.SUCCEEDED,
        {"shelf": "7"},
    )
    assert event.data.result
    assert event.timestamp.utcoffset() == timedelta(0)


@pytest.mark.parametrize("framework", ["dict", "asgi", "wsgi", "django"])
def test_the_headers_of_every_framework_are_read(headers: dict[str, str], framework: str) -> None:
    environ = {f"HTTP_{name.upper().replace('-', '_')}": headers[name] for name in headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    kinds = {
        "dict": {name.title(): value for name, value in headers.items()},
        "asgi": StarletteHeaders(raw=raw),
        "wsgi": EnvironHeaders(environ),
        "django": HttpHeaders(environ),
    }
    assert verify(kinds[framework], EVENT, SECRET).type is EventType.SUCCEEDED


@in_time
@given(st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1), st.binary())
def test_the_official_library_takes_what_is_signed_here(event_id: str, rest: bytes) -> None:
    body = json.dumps(rest.hex()).encode()
    headers = sign(event_id, body, [OLD, SECRET])
    assert officially(headers, body, SECRET)
    assert officially(headers, body, OLD)
    assert not officially(headers, body + b" ", OLD)


@in_time
@given(encodable, st.dictionaries(encodable, st.integers()))
def test_what_the_official_library_signs_is_taken_here(
    event_id: str, unknown: dict[str, int]
) -> None:
    body = json.dumps({**unknown, **json.loads(EVENT)}).encode()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(event_id, now, body.decode()),
    }
    assert verify(headers, body, SECRET).id == event_id
    assert reason(headers, body, OLD) == "signature-wrong"


def test_either_secret_of_a_rotation_is_enough(event_id: str) -> None:
    for signing in (SECRET, OLD, [SECRET, OLD]):
        assert verify(sign(event_id, EVENT, signing), EVENT, (SECRET, OLD)).id == event_id
    assert verify(sign(event_id, EVENT, [SECRET, OLD]), EVENT, OLD).id == event_id


def test_signatures_of_other_versions_are_passed_over(headers: dict[str, str]) -> None:
    ours = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1a,{ours[3:]} v2 , ,, v1 v1,??? {ours}"
    assert verify(headers, EVENT, SECRET).type is EventType.SUCCEEDED
    headers["webhook-signature"] = f"v1a,{ours[3:]} {ours[3:]} v2,{ours[3:]}"
    assert reason(headers) == "signature-wrong"


@pytest.mark.parametrize("at", range(0, len(EVENT), 97))
def test_a_body_that_was_touched_is_refused(headers: dict[str, str], at: int) -> None:
    touched = EVENT[:at] + bytes([EVENT[at] ^ 1]) + EVENT[at + 1 :]
    assert reason(headers, touched) == "signature-wrong"


def test_another_id_or_moment_is_refused(headers: dict[str, str]) -> None:
    assert reason(headers | {"webhook-id": "dlv_other"}) == "signature-wrong"
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert reason(headers | {"webhook-timestamp": later}) == "signature-wrong"


@pytest.mark.parametrize("name", NAMES)
def test_without_one_of_its_headers_a_callback_is_refused(
    headers: dict[str, str], name: str
) -> None:
    assert reason(headers | {name: ""}) == "header-missing"
    del headers[name]
    assert reason(headers) == "header-missing"


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_comes_twice_must_say_the_same(headers: dict[str, str], name: str) -> None:
    assert verify(headers | {name.upper(): headers[name]}, EVENT, SECRET)
    assert reason(headers | {name.upper(): "other"}) == "header-repeated"


def test_old_and_early_callbacks_are_refused_beyond_the_tolerance(
    event_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = math.floor(time.time()) + 0.5
    monkeypatch.setattr(time, "time", lambda: now)

    def at(seconds: float) -> dict[str, str]:
        return sign(event_id, EVENT, SECRET, at=now + seconds)

    assert reason(at(-301)) == "timestamp-old"
    assert reason(at(301)) == "timestamp-early"
    for near in (-300, 300):
        assert verify(at(near), EVENT, SECRET)
    assert verify(at(0), EVENT, SECRET, tolerance_s=0)
    assert verify(at(-1e6), EVENT, SECRET, tolerance_s=math.inf)
    with pytest.raises(WebhookInvalid, match=r"signed 30 s ago"):
        verify(at(-30), EVENT, SECRET, tolerance_s=20)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
def test_the_zone_of_the_machine_means_nothing(
    headers: dict[str, str], zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TZ", zone)
    time.tzset()
    try:
        assert verify(headers, EVENT, SECRET).timestamp.tzinfo is UTC
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "1e9", "-1", "1.5", "١٢٣", " 1", "nan", "9" * 13])
def test_a_moment_is_plain_seconds(headers: dict[str, str], text: str) -> None:
    assert reason(headers | {"webhook-timestamp": text}) in (
        "timestamp-malformed",
        "header-missing",
    )


def test_what_a_newer_service_sends_is_told_apart_and_answered_with_a_2xx(event_id: str) -> None:
    newer = [{"type": "job.paused"}, {"type": "job.succeeded", "version": 2}]
    for change in newer:
        body = json.dumps(json.loads(EVENT) | change).encode()
        with pytest.raises(UnknownEvent) as caught:
            verify(sign(event_id, body, SECRET), body, SECRET)
        assert (caught.value.reason, caught.value.status) == ("unknown-event", 202)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"type": "job.succeeded"}'], ids=range(6)
)
def test_a_signed_body_that_is_no_event_is_refused(event_id: str, body: bytes) -> None:
    assert reason(sign(event_id, body, SECRET), body) == "not-an-event"


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_ä", "whsec_a", "whsec_a b!", "whsec_abcd!!!!", []], ids=repr
)
def test_a_secret_that_is_none_is_said_and_never_quoted(
    headers: dict[str, str], secret: Any
) -> None:
    assert reason(headers, secret=secret) == "secret-unusable"
    with pytest.raises(WebhookInvalid) as caught:
        sign("dlv_1", EVENT, [SECRET, secret] if secret else secret)
    assert not secret or "whsec_a" not in str(caught.value)


def test_a_secret_may_lack_its_padding_and_have_a_line_break(event_id: str) -> None:
    assert verify(sign(event_id, EVENT, OLD), EVENT, f" {OLD.rstrip('=')}\n").id == event_id


@in_time
@given(
    st.dictionaries(st.sampled_from(NAMES) | anything, anything | st.from_regex(r"v1,[\w+/ =]+")),
    st.binary(),
    anything,
)
@example(dict.fromkeys(NAMES, "\ud800"), b"", SECRET)
@example(
    {"webhook-id": "\ud800", "webhook-timestamp": "1", "webhook-signature": "v1,\udfff"},
    b"",
    SECRET,
)
def test_whatever_comes_is_one_clear_error(
    headers: dict[str, str], body: bytes, secret: str
) -> None:
    assert reason(headers, body, secret)


@in_time
@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_whatever_is_signed_is_an_event_or_one_clear_error(body: bytes) -> None:
    assert reason(sign("dlv_1", body, SECRET), body) in ("not-an-event", "unknown-event")
