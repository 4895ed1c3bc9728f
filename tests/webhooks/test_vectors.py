"""The signatures that teams of any language hold their own code against are right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from boxyard_producer.webhooks import WebhookInvalid, verify
from boxyard_schemas.errors import WebhookError

ROOT = Path(__file__).parents[2]
VECTORS: list[dict[str, Any]] = json.loads(
    (ROOT / "examples" / "consumers" / "signatures.json").read_text()
)
PAGE = (ROOT / "docs" / "consumers.md").read_text()


def reason(vector: dict[str, Any]) -> str:
    """Why the kit takes it for no event that it knows; its bodies are none."""
    headers = {f"webhook-{name}": vector[name] for name in ("id", "timestamp", "signature")}
    with pytest.raises(WebhookError) as caught:
        verify(headers, vector["body"].encode(), vector["secret"], tolerance_s=float("inf"))
    assert isinstance(caught.value, WebhookInvalid)
    return caught.value.reason


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_kit_says_of_a_vector_what_it_says_of_itself(vector: dict[str, Any]) -> None:
    genuine = reason(vector) != "signature-wrong"
    assert genuine is vector["genuine"], vector["name"]


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_official_library_and_twenty_lines_of_ones_own_make_the_same(
    vector: dict[str, Any],
) -> None:
    at = datetime.fromtimestamp(int(vector["timestamp"]), UTC)
    official = Webhook(vector["secret"]).sign(vector["id"], at, vector["body"])
    key = base64.b64decode(vector["secret"].removeprefix("whsec_"))
    signed = f"{vector['id']}.{vector['timestamp']}.{vector['body']}".encode()
    own = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert own == official
    assert (own in vector["signature"].split(" ")) is vector["genuine"]


def test_the_page_shows_the_first_of_them_step_by_step() -> None:
    shown = VECTORS[0]
    key = base64.b64decode(shown["secret"].removeprefix("whsec_"))
    steps = {
        "secret": shown["secret"],
        "key": key.hex(),
        "webhook-id": shown["id"],
        "webhook-timestamp": shown["timestamp"],
        "body": shown["body"],
        "signed": f"{shown['id']}.{shown['timestamp']}.{shown['body']}",
        "signature": shown["signature"],
    }
    lines = [f"{name:<18}{value}" for name, value in steps.items()]
    assert "\n".join(lines) in PAGE
