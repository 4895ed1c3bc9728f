"""Consumers over real HTTP that are right, or wrong in one way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from threading import Barrier, Timer

from boxyard_producer.webhooks import (
    EventInProgress,
    MemoryDeduplication,
    UnknownEvent,
    WebhookError,
    WebhookEvent,
    verify,
)
from receivers import Receiver, say

from .conftest import OLD, SECRET

Judge = Callable[[Mapping[str, str], bytes], WebhookEvent]
Key = Callable[[WebhookEvent, Mapping[str, str]], str]


def genuine(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    return verify(headers, body, [SECRET, OLD])


def webhook_id(event: WebhookEvent, headers: Mapping[str, str]) -> str:
    return event.id


def job_id(event: WebhookEvent, headers: Mapping[str, str]) -> str:
    return event.data.job.id


def signed(event: WebhookEvent, headers: Mapping[str, str]) -> str:
    return headers["webhook-signature"]


class Consumer(Receiver):
    """Answers GET with how often it acted.

    Args:
        judge: gives the event of a request, or raises.
        key: what it deduplicates by; None where it does not.
        together: where it is given, an id is not claimed in one step but looked up, and noted after
            the act; who has looked it up waits here for the others before it acts.
        failure: what it answers when the judge raises anything but a WebhookError.
        refusal: what it answers to a WebhookError, in place of what that says.
        lateness_s: it answers at once, and acts so much later.
    """

    def __init__(
        self,
        judge: Judge = genuine,
        *,
        key: Key | None = webhook_id,
        together: Barrier | None = None,
        failure: int = 400,
        refusal: int | None = None,
        lateness_s: float = 0,
    ) -> None:
        self.acts = 0
        self._judge, self._key, self._together = judge, key, together
        self._failure, self._refusal, self._lateness_s = failure, refusal, lateness_s
        self._seen, self._noted = MemoryDeduplication(), set[str]()
        super().__init__(self._respond)

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "GET":
            say(200, str(self.acts).encode())(handler)
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        # Others may have come since; with these headers all have this body.
        body = next(each.body for each in reversed(self.requests) if each.headers == headers)
        say(self._consume(headers, body))(handler)

    def _consume(self, headers: Mapping[str, str], body: bytes) -> int:
        try:
            event = self._judge(headers, body)
        except UnknownEvent as error:
            return error.status
        except WebhookError as error:
            return self._refusal or error.status
        except Exception:
            return self._failure
        if self._lateness_s:
            Timer(self._lateness_s, self._act_once, (event, headers)).start()
        else:
            self._act_once(event, headers)
        return 204

    def _act_once(self, event: WebhookEvent, headers: Mapping[str, str]) -> None:
        if self._key is None:
            self.acts += 1
            return
        known = self._key(event, headers)
        if self._together is None:
            with suppress(EventInProgress), self._seen.once(known) as first:
                self.acts += first
        elif known not in self._noted:
            self._together.wait(60)
            self.acts += 1
            self._noted.add(known)


def lenient(body: bytes, event_id: str) -> WebhookEvent:
    """Whatever the body says, where it is an event at all."""
    try:
        event = json.loads(body)
        return WebhookEvent.model_validate({**event, "id": event_id})
    except ValueError as error:
        raise UnknownEvent("unknown-event", str(error)) from error


def trusting(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Checks nothing."""
    return lenient(body, headers.get("webhook-id", ""))


def believing(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Takes what has no signature for one that needs none."""
    if not headers.get("webhook-signature") and "webhook-signature" in headers:
        return lenient(body, headers["webhook-id"])
    return genuine(headers, body)


def versionless(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Never looks at the version before the comma."""
    value = headers.get("webhook-signature", "").replace("v1a,", "v1,")
    return genuine({**headers, "webhook-signature": value}, body)


def prefixed(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Compares as much as there is."""
    head = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode()
    for secret in (SECRET, OLD):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        made = "v1," + base64.b64encode(hmac.digest(key, head + body, hashlib.sha256)).decode()
        if any(made.startswith(each) for each in headers.get("webhook-signature", "-").split(" ")):
            return genuine({**headers, "webhook-signature": made}, body)
    return genuine(headers, body)


def commas(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Parts the signatures at their commas."""
    parts = headers.get("webhook-signature", "").replace(" ", "").split(",")[1:]
    return genuine({**headers, "webhook-signature": " ".join(f"v1,{p}" for p in parts)}, body)


def timeless(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Never looks at the clock."""
    return verify(headers, body, [SECRET, OLD], tolerance_s=float("inf"))


def forgetful(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Has thrown the old secret away."""
    return verify(headers, body, SECRET)


def hasty(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Looks at the first signature alone."""
    first = headers.get("webhook-signature", "").partition(" ")[0]
    return genuine({**headers, "webhook-signature": first}, body)


def rewriting(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Parses the body and writes it again, in the way that the service itself writes."""
    again = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)
    return genuine(headers, again.encode())


def ascii_only(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Reads the body as if every byte were a letter."""
    return genuine(headers, body.decode("latin-1").encode())


def narrow(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Takes no large body."""
    if len(body) > 16_000:
        raise ValueError
    return genuine(headers, body)


def closed(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Refuses types that it does not know."""
    if b"job.paused" in body:
        raise ValueError
    return genuine(headers, body)


def strict(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Refuses members that it does not know."""
    if "colour" in json.loads(body):
        raise ValueError
    return genuine(headers, body)


def careless(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Fails where a header is missing."""
    return genuine({name: headers[name] for name in headers if headers["webhook-id"]}, body)


def expectant(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Expects a result of every job."""
    event = genuine(headers, body)
    assert event.data.result is not None
    return event


def of_today(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Refuses versions that it does not know."""
    if b'"version":2' in body:
        raise ValueError
    return genuine(headers, body)


def reckoning(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Reads the time before it looks whether it is one."""
    int(headers.get("webhook-timestamp") or 0)
    return genuine(headers, body)
