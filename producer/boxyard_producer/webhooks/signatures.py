"""Signatures as Standard Webhooks make them: HMAC-SHA256 over `id.timestamp.body`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable

from boxyard_schemas.errors import WebhookInvalid

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"


def sign(
    event_id: str, body: bytes, secret: str | Iterable[str], *, at: float | None = None
) -> dict[str, str]:
    """The headers of a callback, as the service would send them.

    Args:
        event_id: stable over attempts.
        body: exactly the bytes that are posted.
        secret: `whsec_…`; each of several gives a signature of its own.
        at: seconds since 1970, now by default.

    Raises:
        WebhookInvalid: `secret-unusable`.
    """
    timestamp = str(int(time.time() if at is None else at))
    made = [signature(key, event_id, timestamp, body) for key in keys(secret)]
    return {
        "Content-Type": "application/json",
        ID: event_id,
        TIMESTAMP: timestamp,
        SIGNATURE: " ".join(made),
    }


def keys(secret: str | Iterable[str]) -> list[bytes]:
    """What one or several secrets stand for.

    Raises:
        WebhookInvalid: `secret-unusable`.
    """
    found = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    if not found:
        raise WebhookInvalid("secret-unusable", "There is no secret to verify with.")
    return found


def signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """One signature, `v1,` and base64."""
    # Whatever a header holds can be signed; half a surrogate pair will match nothing.
    head = f"{event_id}.{timestamp}.".encode(errors="surrogatepass")
    made = hmac.digest(key, head + body, hashlib.sha256)
    return "v1," + base64.b64encode(made).decode()


def _key(secret: str) -> bytes:
    text = secret.strip().removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        # Without its cause: that may quote the secret.
        raise WebhookInvalid("secret-unusable", "The secret is not `whsec_` and base64.") from None
    return key
