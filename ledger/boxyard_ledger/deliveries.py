"""Deliveries: who is told of a job's end, claimed one receiver at a time."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from . import keys
from .connection import Connection
from .outbox import receiver_of
from .records import DeliveryAttempt, DeliveryClaim, DeliveryRecord, DeliveryState
from .settings import LedgerSettings
from .status import to_ms

_LOG_LINES = 50
_LOOK_AT = 16
"""Due receivers that one claim considers: others may take the first ones meanwhile."""


class DeliveryStatus(NamedTuple):
    """A delivery, how it stands, and the log of its last attempts, oldest first."""

    delivery: DeliveryRecord
    state: DeliveryState
    attempts: list[DeliveryAttempt]


class Deliveries:
    """The deliveries of all tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(self, connection: Connection, settings: LedgerSettings) -> None:
        self._connection = connection
        self._lease_ms = int(settings.delivery_lease_s * 1000)

    def claim(self, *, worker: str, limit: int = 16) -> list[DeliveryClaim]:
        """Takes due deliveries, all of one receiver.

        Nobody else gets that receiver's deliveries until each of these has an outcome, or no
        outcome came for `delivery_lease_s`.
        """
        now = self._connection.now_ms()
        receivers = self._connection.command(
            "ZRANGE", keys.RECEIVERS, "-inf", now, "BYSCORE", "LIMIT", 0, _LOOK_AT
        )
        for receiver in receivers:
            if claims := self._claim_from(receiver, now, worker, limit):
                return claims
        return []

    def _claim_from(self, receiver: str, now: int, worker: str, limit: int) -> list[DeliveryClaim]:
        due = self._connection.command(
            "ZRANGE", keys.pending(receiver), "-inf", now, "BYSCORE", "LIMIT", 0, limit
        )
        taken = self._connection.run(
            "claim_deliveries",
            [*_receiver_keys(receiver), *(keys.delivery(*keys.split(entry)) for entry in due)],
            [self._lease_ms, receiver, worker, *due],
        )
        return [
            DeliveryClaim(
                delivery=DeliveryRecord.model_validate_json(record), token=token, attempt=attempt
            )
            for token, attempt, record in taken
        ]

    def record(
        self,
        claim: DeliveryClaim,
        attempt: DeliveryAttempt,
        *,
        state: DeliveryState,
        next_at: datetime | None,
    ) -> bool:
        """Writes the outcome of an attempt.

        Args:
            claim: the hold; it ends here.
            attempt: the line for the log.
            state: `delivered`, `exhausted`, or `pending` to try again.
            next_at: when to try again; given with `pending` alone.

        Returns:
            False when the claim no longer holds: nothing was written.
        """
        if (state is DeliveryState.PENDING) != (next_at is not None):
            raise ValueError("next_at goes with `pending`, and with it alone")
        delivery = claim.delivery
        receiver, names = receiver_of(delivery), (delivery.tenant, delivery.id)
        recorded = self._connection.run(
            "record_delivery",
            [*_receiver_keys(receiver), keys.delivery(*names), keys.attempts(*names)],
            [
                *(self._lease_ms, receiver, keys.member(*names), claim.token, state),
                *(to_ms(next_at) if next_at else "", attempt.model_dump_json(), _LOG_LINES),
            ],
        )
        return bool(recorded)

    def list(self, tenant: str, job_id: str) -> list[DeliveryStatus]:
        """A job's deliveries in the order of the request; none before it ends."""
        entries = self._connection.command("LRANGE", keys.deliveries(tenant, job_id), 0, -1)
        ids = [keys.split(entry)[1] for entry in entries]
        found = self._connection.commands(
            *(("HMGET", keys.delivery(tenant, name), "record", "state") for name in ids),
            *(("LRANGE", keys.attempts(tenant, name), 0, -1) for name in ids),
        )
        return [
            DeliveryStatus(
                DeliveryRecord.model_validate_json(record),
                DeliveryState(state),
                [DeliveryAttempt.model_validate_json(line) for line in log],
            )
            for (record, state), log in zip(found[: len(ids)], found[len(ids) :], strict=True)
            if record
        ]

    def next_due(self) -> float | None:
        """Seconds until a delivery is due, 0 when one is; None when none waits."""
        first = self._connection.command("ZRANGE", keys.RECEIVERS, 0, 0)
        due = self._connection.command("ZSCORE", keys.RECEIVERS, first[0]) if first else None
        if due is None:
            return None
        return max(0.0, (float(due) - self._connection.now_ms()) / 1000)

    def release_expired_leases(self, limit: int) -> int:
        """Frees receivers whose holder died; returns how many."""
        now = self._connection.now_ms()
        receivers = self._connection.command(
            "ZRANGE", keys.RECEIVER_LEASES, "-inf", now, "BYSCORE", "LIMIT", 0, limit
        )
        return sum(self._release(receiver) for receiver in receivers)

    def _release(self, receiver: str) -> int:
        entries = sorted(self._connection.command("SMEMBERS", keys.sending(receiver)))
        released: int = self._connection.run(
            "release_receiver",
            [*_receiver_keys(receiver), *(keys.delivery(*keys.split(entry)) for entry in entries)],
            [receiver, *entries],
        )
        return released


def _receiver_keys(receiver: str) -> list[str]:
    return [
        keys.RECEIVERS,
        keys.RECEIVER_LEASES,
        keys.pending(receiver),
        keys.sending(receiver),
    ]
