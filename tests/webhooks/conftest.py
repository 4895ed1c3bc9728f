"""Events, and the secrets that sign them."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxyard_producer.webhooks import sign
from boxyard_schemas import new_id

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_b2xkIHNlY3JldCB0aGF0IHN0aWxsIHNpZ25zIQ=="
EVENT = (Path(__file__).parents[1] / "schemas" / "golden" / "Event.json").read_bytes()


@pytest.fixture
def event_id() -> str:
    return new_id("dlv")


@pytest.fixture
def headers(event_id: str) -> dict[str, str]:
    """Of EVENT, sent now."""
    return sign(event_id, EVENT, SECRET)
