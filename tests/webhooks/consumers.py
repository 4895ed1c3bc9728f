"""Consumers over real HTTP that are right, or wrong in one way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler

from boxyard_producer.webhooks import (
    MemoryDeduplication,
    WebhookError,
    WebhookEvent,
    verify,
)
from receivers import Receiver, say

from .conftest import OLD, SECRET

Judge = Callable[[Mapping[str, str], bytes], WebhookEvent]


def genuine(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    return verify(headers, body, [SECRET, OLD])


class Consumer(Receiver):
    """Answers GET with how often it acted.

    Args:
        judge: gives the event of a request, or raises.
        deduplicates: whether it acts on an id once.
        failure: what it answers when the judge raises anything but a WebhookError.
    """

    def __init__(
        self, judge: Judge = genuine, *, deduplicates: bool = True, failure: int = 400
    ) -> None:
        self.acts = 0
        self._judge, self._deduplicates, self._failure = judge, deduplicates, failure
        self._seen = MemoryDeduplication()
        super().__init__(self._respond)

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        received = self.requests[-1]
        if received.method == "GET":
            say(200, str(self.acts).encode())(handler)
        else:
            say(self._consume(received.headers, received.body))(handler)

    def _consume(self, headers: Mapping[str, str], body: bytes) -> int:
        try:
            event = self._judge(headers, body)
        except WebhookError as error:
            return error.status
        except Exception:
            return self._failure
        with self._seen.once(event.id) as first:
            self.acts += first or not self._deduplicates
        return 204


def trusting(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Checks nothing."""
    event = json.loads(body)
    if event["type"] == "job.paused":
        event["type"] = "job.failed"
    return WebhookEvent.model_validate({**event, "id": headers.get("webhook-id", "")})


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
    """Parses the body and writes it again, with spaces, before it verifies."""
    return genuine(headers, json.dumps(json.loads(body)).encode())


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
