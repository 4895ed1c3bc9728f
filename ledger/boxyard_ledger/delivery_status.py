"""How deliveries stand, as Redis has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from . import keys
from .connection import Connection
from .outbox import receiver_of
from .records import DeliveryAttempt, DeliveryRecord, DeliveryState
from .status import from_ms


class DeliveryStatus(NamedTuple):
    """A delivery, how it stands, and the log of its last attempts, oldest first."""

    delivery: DeliveryRecord
    state: DeliveryState
    attempts: list[DeliveryAttempt]
    next_at: datetime | None
    """When it is due; None unless it waits."""


def read_deliveries(
    connection: Connection, tenant: str, ids: Sequence[str]
) -> list[DeliveryStatus]:
    """What is still there of these, in their order."""
    found = connection.commands(
        *(("HMGET", keys.delivery(tenant, name), "record", "state") for name in ids),
        *(("LRANGE", keys.attempts(tenant, name), 0, -1) for name in ids),
    )
    known = [
        (DeliveryRecord.model_validate_json(record), DeliveryState(state), log)
        for (record, state), log in zip(found[: len(ids)], found[len(ids) :], strict=True)
        if record
    ]
    due = connection.commands(*(_due(delivery) for delivery, _, _ in known))
    return [
        DeliveryStatus(
            delivery,
            state,
            [DeliveryAttempt.model_validate_json(line) for line in log],
            from_ms(at) if at else None,
        )
        for (delivery, state, log), at in zip(known, due, strict=True)
    ]


def _due(delivery: DeliveryRecord) -> tuple[str, ...]:
    member = keys.member(delivery.tenant, delivery.id)
    return "ZSCORE", keys.pending(receiver_of(delivery)), member
