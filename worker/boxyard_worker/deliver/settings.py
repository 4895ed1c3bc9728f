"""What an operator may set of the deliver loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from boxyard_ledger import LedgerSettings

from ..egress import EgressSettings


def _read_json(value: object) -> object:
    """Here and not before, so that what is no JSON is a fault of this setting."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("must be a list in JSON, such as [5, 300]") from error


Seconds = Annotated[float, Field(gt=0)]
Pauses = Annotated[tuple[Seconds, ...], NoDecode, BeforeValidator(_read_json)]
_MINUTE, _HOUR = 60.0, 3600.0


class DeliverSettings(EgressSettings, LedgerSettings):
    """One deliver process; environment names begin with BOXYARD_."""

    public_url: str = Field(
        "http://127.0.0.1:8000", description="Where callers reach the server; for `result_url`."
    )
    delivery_schedule_s: Pauses = Field(
        (
            5,
            5 * _MINUTE,
            30 * _MINUTE,
            2 * _HOUR,
            5 * _HOUR,
            10 * _HOUR,
            14 * _HOUR,
            20 * _HOUR,
            24 * _HOUR,
        ),
        description="Pauses between attempts, JSON; one attempt more than pauses: ten in 3 days.",
    )
    delivery_jitter: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Pauses vary by this much.",
        json_schema_extra={"unit": "share"},
    )
    delivery_deadline_s: float = Field(20, gt=0, description="Of one callback, all together.")
    max_retry_after_s: float = Field(
        _HOUR, gt=0, description="A receiver's Retry-After is honoured up to this."
    )
    max_rest_s: float = Field(
        _MINUTE, ge=0, description="It holds the receiver's other deliveries back up to this."
    )
    deliveries_in_flight: int = Field(512, ge=1, description="Of all receivers: threads.")
    delivery_tenant_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Of the threads that others leave free, for one tenant.",
        json_schema_extra={"unit": "share"},
    )
    deliveries_per_origin: int = Field(64, ge=1, description="Of one tenant to one origin.")
    deliveries_per_receiver: int = Field(8, ge=1, description="Of one receiver, a URL's path.")
    delivery_poll_s: float = Field(0.2, gt=0, description="Pause while nothing is due.")
    pulse_file: Path | None = Field(None, description="Touched while the loop and the ledger run.")
