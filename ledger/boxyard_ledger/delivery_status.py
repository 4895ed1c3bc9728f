"""How deliveries stand, as Redis has them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from boxyard_schemas.errors import Unreadable

from . import keys
from .connection import Connection
from .outbox import receiver_of
from .quarantine import Quarantine
from .records import DeliveryAttempt, DeliveryRecord, DeliveryState
from .status import from_ms, readable


class DeliveryStatus(NamedTuple):
    """A delivery, how it stands, and the log of its last attempts, oldest first."""

    delivery: DeliveryRecord
    state: DeliveryState
    attempts: list[DeliveryAttempt]
    next_at: datetime | None
    """When it is due; None unless it waits."""


def read_record(text: str, entry: str, receiver: str | None = None) -> DeliveryRecord:
    """The record of `tenant/delivery`, which goes to a receiver.

    Raises:
        Unreadable: it is no record, or that of another delivery or receiver.
    """
    with readable(f"Delivery {keys.split(entry)[1]}", text):
        delivery = DeliveryRecord.model_validate_json(text)
        if keys.member(delivery.tenant, delivery.id) != entry:
            raise ValueError("the record of another delivery")
        if receiver_of(delivery) != (receiver or receiver_of(delivery)):
            raise ValueError("the record of another receiver's delivery")
    return delivery


def read_deliveries(
    connection: Connection, quarantine: Quarantine, tenant: str, ids: Sequence[str]
) -> list[DeliveryStatus]:
    """What is still there of these and can be read, in their order."""
    found = connection.commands(
        *(("HMGET", keys.delivery(tenant, name), "record", "state") for name in ids),
        *(("LRANGE", keys.attempts(tenant, name), 0, -1) for name in ids),
    )
    known = []
    for name, (record, state), log in zip(ids, found[: len(ids)], found[len(ids) :], strict=True):
        if record is None and state is None:
            continue
        try:
            with readable(f"Delivery {name}", record):
                delivery = read_record(record, keys.member(tenant, name))
                known.append((delivery, DeliveryState(state), log))
        except Unreadable as error:
            quarantine.note(keys.delivery(tenant, name), error.data["cause"])
    due = connection.commands(*(_due(delivery) for delivery, _, _ in known))
    return [
        DeliveryStatus(delivery, state, _read_log(log), _read_moment(at))
        for (delivery, state, log), at in zip(known, due, strict=True)
    ]


def _read_log(lines: Sequence[str]) -> list[DeliveryAttempt]:
    """The lines of a log that can be read."""
    attempts = []
    for line in lines:
        with suppress(ValueError):
            attempts.append(DeliveryAttempt.model_validate_json(line))
    return attempts


def _due(delivery: DeliveryRecord) -> tuple[str, ...]:
    member = keys.member(delivery.tenant, delivery.id)
    return "ZSCORE", keys.pending(receiver_of(delivery)), member


def _read_moment(score: str | float | None) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):  # a time that no clock holds
        return None if score is None else from_ms(score)
    return None
