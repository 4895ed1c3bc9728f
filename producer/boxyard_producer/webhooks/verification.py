"""Is it genuine, is it fresh, and what does it say?"""

from __future__ import annotations

import hmac
import math
import re
import time
from collections.abc import Iterable
from typing import Protocol

from pydantic import BaseModel, Field, ValidationError

from boxyard_schemas import Event, EventType
from boxyard_schemas.errors import UnknownEvent, WebhookInvalid

from .signatures import ID, SIGNATURE, TIMESTAMP, keys, signature

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class Headers(Protocol):
    """A dict of headers, or what a framework has in its place; names in upper or lower case."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Pairs of name and value."""


class WebhookEvent(Event):
    """An event as it came."""

    id: str = Field(description="The same over attempts and replays: the key for duplicates.")


class _Kind(BaseModel):
    type: str
    version: int = 1


def verify(
    headers: Headers, body: bytes, secret: str | Iterable[str], *, tolerance_s: float = 300
) -> WebhookEvent:
    """The event of a genuine callback.

    Args:
        headers: of the request.
        body: its bytes exactly as they came, not parsed and written again.
        secret: `whsec_…`, or several while they rotate; one must have signed.
        tolerance_s: how far the sender's clock and ours may be apart.

    Raises:
        WebhookInvalid: with the reason `header-missing`, `header-repeated`,
            `timestamp-malformed`, `signature-wrong`, `timestamp-old`, `timestamp-early`,
            `not-an-event` or, when it is ours to mend, `secret-unusable`.
        UnknownEvent: one of the former, with the reason `unknown-event`: a newer service sent it.
    """
    known = _read(headers)
    if not _SECONDS.fullmatch(known[TIMESTAMP]):
        raise WebhookInvalid("timestamp-malformed", f"{TIMESTAMP} is no number of seconds.")
    _check_signature(known, body, keys(secret))
    _check_age(int(known[TIMESTAMP]), tolerance_s)
    return WebhookEvent(id=known[ID], **dict(_parse(body)))


def _read(headers: Headers) -> dict[str, str]:
    """The three headers by their names in lower case."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        known = name.lower()
        if known in (ID, TIMESTAMP, SIGNATURE) and found.setdefault(known, value) != value:
            # Somebody behind us might read the other one.
            raise WebhookInvalid("header-repeated", f"{known} came twice, with other values.")
    for needed in (ID, TIMESTAMP, SIGNATURE):
        if not found.get(needed):
            raise WebhookInvalid("header-missing", f"{needed} is missing or empty.")
    return found


def _check_signature(known: dict[str, str], body: bytes, by: list[bytes]) -> None:
    wanted = [signature(key, known[ID], known[TIMESTAMP], body).encode() for key in by]
    given = [each.encode(errors="surrogatepass") for each in known[SIGNATURE].split(" ")]
    if not any(hmac.compare_digest(ours, theirs) for ours in wanted for theirs in given):
        raise WebhookInvalid(
            "signature-wrong",
            "No signature fits: another secret signed it, or the bytes are not those that came.",
        )


def _check_age(timestamp: int, tolerance_s: float) -> None:
    age_s = time.time() - timestamp
    # Seconds are cut off on the way, so that a fresh one may look a second old.
    if math.floor(age_s) > tolerance_s:
        raise WebhookInvalid("timestamp-old", f"It was signed {age_s:.0f} s ago.")
    if -age_s > tolerance_s:
        raise WebhookInvalid("timestamp-early", f"It was signed {-age_s:.0f} s from now.")


def _parse(body: bytes) -> Event:
    try:
        kind = _Kind.model_validate_json(body)
        if kind.version != 1 or kind.type not in list(EventType):
            raise UnknownEvent("unknown-event", f"{kind.type} of version {kind.version} is new.")
        return Event.model_validate_json(body)
    except ValidationError as error:
        raise WebhookInvalid("not-an-event", f"The body is no event: {error}") from error
