"""Deliveries: who is told of a job's end, claimed one receiver at a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound, Unreadable

from . import keys
from .connection import Connection, Word
from .delivery_status import DeliveryStatus, read_deliveries, read_record
from .indexes import read_page, read_until
from .outbox import receiver_of
from .quarantine import Quarantine
from .receivers import LOG_LINES, Receivers, index_keys, pace_keys
from .records import DeliveryAttempt, DeliveryClaim, DeliveryRecord, DeliveryState
from .settings import LedgerSettings

_ID = re.compile(r"dlv_[0-9a-f]{32}")
_STREAK_MS = 60_000
"""A receiver that took nothing for so long is tried with one delivery again."""
_STEP = 100
"""Deliveries that one script replays: others wait for it meanwhile."""
_STEPS = 10
"""Of one call: its caller has an answer within a second, and goes on by the cursor."""


class Deliveries:
    """The deliveries of all tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(
        self, connection: Connection, settings: LedgerSettings, quarantine: Quarantine
    ) -> None:
        self._connection = connection
        self._quarantine = quarantine
        self._receivers = Receivers(connection)
        self._lease_ms = int(settings.delivery_lease_s * 1000)

    def claim(
        self, *, worker: str, limit: int = 16, busy: Collection[str] = ()
    ) -> list[DeliveryClaim]:
        """Takes due deliveries, all of one receiver.

        Nobody else gets that receiver's deliveries until each of these has an outcome, or its
        holder neither recorded one nor renewed for `delivery_lease_s`.

        Args:
            worker: who takes them.
            limit: at most so many; a receiver that failed last, or is new, gets one, and with
                each that it takes one more.
            busy: tenants, and origins as `tenant/scheme://host:port`, that get nothing now.
        """
        now = self._connection.now_ms()
        for receiver in self._receivers.due(now, frozenset(busy)):
            if claims := self._claim_from(receiver, now, worker, limit):
                return claims
        return []

    def _claim_from(self, receiver: str, now: int, worker: str, limit: int) -> list[DeliveryClaim]:
        claims, aside = self._take(receiver, now, worker, limit)
        while aside and not claims:  # what was set aside does not come again
            claims, aside = self._take(receiver, now, worker, limit)
        return claims

    def _take(
        self, receiver: str, now: int, worker: str, limit: int
    ) -> tuple[list[DeliveryClaim], int]:
        """Claims, and how many deliveries were set aside because they cannot be read."""
        due = read_until(self._connection, keys.pending(receiver), now, limit)
        names = [*index_keys(receiver), *pace_keys(receiver)]
        names += [keys.delivery(*keys.split(entry)) for entry in due]
        words: list[Word] = [self._lease_ms, receiver, worker, *due]
        taken, moved = self._connection.run("claim_deliveries", names, words)
        self._quarantine.report(moved)
        claims, aside = [], len(moved)
        for token, attempt, record, entry, at in taken:
            try:
                delivery = read_record(record, entry, receiver)
            except Unreadable as error:
                self._reject(receiver, entry, token, at, error.data["cause"])
                aside += 1
            else:
                claims.append(DeliveryClaim(delivery=delivery, token=token, attempt=attempt))
        return claims, aside

    def _reject(self, receiver: str, entry: str, token: int, at: str, reason: str) -> None:
        """Undoes the claim of a delivery that cannot be read, and sets it aside."""
        names = [*index_keys(receiver), keys.delivery(*keys.split(entry))]
        if self._connection.run("reject_delivery", names, [receiver, entry, token, at, reason]):
            self._quarantine.report([(keys.pending(receiver), entry, reason)])

    def renew(self, receivers: Collection[str]) -> None:
        """Prolongs the hold on receivers whose deliveries take their time."""
        if receivers:
            self._receivers.renew(receivers, self._lease_ms)

    def record(
        self,
        claim: DeliveryClaim,
        attempt: DeliveryAttempt,
        *,
        state: DeliveryState,
        again_in_s: float | None = None,
        rest_s: float = 0,
        count_attempt: bool = True,
    ) -> bool:
        """Writes the outcome of an attempt.

        Args:
            claim: the hold; it ends here.
            attempt: the line for the log.
            state: `delivered`, `exhausted`, or `pending` to try again.
            again_in_s: when to try again, in seconds; given with `pending` alone.
            rest_s: the receiver's other deliveries wait so long too, in seconds.
            count_attempt: False when it never got as far as the receiver.

        Returns:
            False when the claim no longer holds: nothing was written.
        """
        if (state is DeliveryState.PENDING) != (again_in_s is not None):
            raise ValueError("again_in_s goes with `pending`, and with it alone")
        delivery = claim.delivery
        receiver, names = receiver_of(delivery), (delivery.tenant, delivery.id)
        recorded = self._connection.run(
            "record_delivery",
            [
                *(*index_keys(receiver), *pace_keys(receiver), keys.delivery(*names)),
                *(keys.attempts(*names), keys.exhausted(delivery.tenant)),
            ],
            [
                *(self._lease_ms, receiver, keys.member(*names), claim.token, state),
                *("" if again_in_s is None else int(again_in_s * 1000), int(rest_s * 1000)),
                *(_STREAK_MS, attempt.model_dump_json(), -LOG_LINES, 0 if count_attempt else -1),
            ],
        )
        return bool(recorded)

    def get(self, tenant: str, delivery_id: str) -> DeliveryStatus:
        """How a delivery stands.

        Raises:
            NotFound: this tenant has no such delivery.
        """
        if found := read_deliveries(self._connection, self._quarantine, tenant, [delivery_id]):
            return found[0]
        if self._connection.command("EXISTS", keys.delivery(tenant, delivery_id)):
            raise Unreadable(
                f"Delivery {delivery_id} cannot be read: its record is damaged or of a newer "
                "version of the service. The operator finds it by `boxyard quarantine`.",
                cause="unreadable",
            )
        raise NotFound(f"No delivery has the id {delivery_id}; its job may be forgotten.")

    def exhausted(
        self, tenant: str, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[DeliveryStatus], str | None]:
        """A page of a tenant's deliveries that were given up, newest first.

        Returns:
            The page, and the cursor of the next one.

        Raises:
            InvalidRequest: the cursor is not one that a page gave.
        """
        if cursor is not None and not _ID.fullmatch(cursor):
            raise InvalidRequest("The cursor is not one that a page gave.")
        after = keys.member(tenant, cursor) if cursor else None
        entries, more = read_page(
            self._connection,
            self._quarantine,
            keys.exhausted(tenant),
            limit,
            after,
            names=re.compile(f"{re.escape(tenant)}/{_ID.pattern}"),
        )
        page = [keys.split(entry)[1] for entry in entries]
        found = read_deliveries(self._connection, self._quarantine, tenant, page)
        return found, page[-1] if more else None

    def replay(self, tenant: str, delivery_id: str) -> DeliveryStatus:
        """Makes a delivery that has ended due again, with all its attempts; its log stays.

        Raises:
            NotFound: this tenant has no such delivery.
            Conflict: it has not ended.
        """
        status = self.get(tenant, delivery_id)
        if (state := status.state) in (DeliveryState.PENDING, DeliveryState.SENDING):
            raise Conflict(f"Delivery {delivery_id} is {state}: it has not ended.", state=state)
        # When it has not ended any more, then somebody replayed it just now: perhaps this very
        # call, sent again after a lost answer.
        self._replay([status.delivery])
        return self.get(tenant, delivery_id)

    def replay_exhausted(
        self, tenant: str, *, endpoint: str | None = None, cursor: str | None = None
    ) -> tuple[int, str | None]:
        """Replays some of what was given up, of all or one endpoint's, oldest first.

        Args:
            tenant: whose.
            endpoint: of this one alone.
            cursor: where the call before stopped.

        Returns:
            How many are due again, and the cursor of the next call; none when that was all.
        """
        replayed = 0
        for _ in range(_STEPS):
            names = self._given_up(tenant, cursor)
            chosen = [
                known.delivery
                for known in read_deliveries(self._connection, self._quarantine, tenant, names)
                if endpoint in (None, known.delivery.endpoint)
            ]
            replayed += self._replay(chosen).count(DeliveryState.EXHAUSTED)
            if len(names) < _STEP:
                return replayed, None
            cursor = names[-1]
        return replayed, cursor

    def _given_up(self, tenant: str, cursor: str | None) -> list[str]:
        """The oldest `_STEP` after the cursor."""
        start = f"({keys.member(tenant, cursor)}" if cursor else "-"
        entries = self._connection.command(
            "ZRANGE", keys.exhausted(tenant), start, "+", "BYLEX", "LIMIT", 0, _STEP
        )
        return [keys.split(entry)[1] for entry in entries]

    def _replay(self, deliveries: Sequence[DeliveryRecord]) -> list[str]:
        """The former state of each."""
        if not deliveries:
            return []
        names = [keys.RECEIVERS, keys.RECEIVER_LEASES, keys.exhausted(deliveries[0].tenant)]
        words: list[str] = []
        for delivery in deliveries:
            receiver = receiver_of(delivery)
            names += [keys.delivery(delivery.tenant, delivery.id), keys.pending(receiver)]
            words += [keys.member(delivery.tenant, delivery.id), receiver]
        former: list[str] = self._connection.run("replay_deliveries", names, words)
        return former

    def next_due(self) -> float | None:
        """Seconds until a delivery is due, 0 when one is; None when none waits."""
        return self._receivers.next_due()

    def release_expired_leases(self, limit: int) -> int:
        """Frees receivers whose holder died; returns how many."""
        return self._receivers.release_expired_leases(limit)

    def list(self, tenant: str, job_id: str) -> list[DeliveryStatus]:
        """A job's deliveries in the order of the request; none before it ends."""
        entries = self._connection.command("LRANGE", keys.deliveries(tenant, job_id), 0, -1)
        names = [keys.split(entry)[1] for entry in entries]
        return read_deliveries(self._connection, self._quarantine, tenant, names)
