"""One delivery's way: an attempt, and its outcome in the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, repeat

import structlog

from boxyard_ledger import (
    BlobUnreadable,
    DeliveryAttempt,
    DeliveryClaim,
    DeliveryKind,
    DeliveryState,
    Ledger,
    receiver_of,
)
from boxyard_schemas.errors import (
    NotFound,
    Permanent,
    Retryable,
    ServiceError,
    SetupError,
    Unreadable,
)
from boxyard_schemas.words import utc_now

from ..meters import DeliverMeters, reason_class
from .channels import Channel
from .schedule import Schedule

_log = structlog.get_logger()
_INSIST_S = 90.0
_OURS_PAUSE_S = 5.0
_RECORD_PAUSES_S = (0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        reason: a stable code.
        detail: for people.
        final: it is not repeated.
        ours: it never got as far as the receiver, and does not count.
        retry_after_s: the receiver's wish.
    """

    reason: str
    detail: str
    final: bool = False
    ours: bool = False
    retry_after_s: float | None = None


class Courier:
    """Carries claimed deliveries; thread-safe."""

    def __init__(
        self,
        ledger: Ledger,
        channels: Mapping[DeliveryKind, Channel],
        schedule: Schedule,
        *,
        max_rest_s: float,
        meters: DeliverMeters | None = None,
    ) -> None:
        self._deliveries = ledger.deliveries
        self._max_rest_s = max_rest_s
        self._channels = channels
        self._schedule = schedule
        self._meters = meters or DeliverMeters()

    def carry(self, claim: DeliveryClaim) -> None:
        """Makes one attempt and records it. Raises nothing that a delivery may cause."""
        with self._meters.under_way.track_inprogress():
            self._carry(claim)

    def _carry(self, claim: DeliveryClaim) -> None:
        with self._meters.seconds.labels(claim.delivery.kind).time():
            failure = self._attempt(claim)
        _log.info(
            "delivery attempted",
            **names_of(claim),
            attempt=claim.attempt,
            outcome=failure.reason if failure else "delivered",
        )
        self._record(claim, failure)

    def _attempt(self, claim: DeliveryClaim) -> Failure | None:
        try:
            self._channels[claim.delivery.kind].send(claim.delivery)
        except Permanent as error:
            return Failure(error.reason, error.detail, final=True)
        except (NotFound, Unreadable, BlobUnreadable) as error:
            # Perhaps a newer deliverer, or another disk, has by the next attempt what this one
            # cannot read.
            return Failure(error.code, error.detail, final=isinstance(error, NotFound))
        except Retryable as error:
            wish = error.data.get("retry_after_s")
            return Failure(error.reason, error.detail, retry_after_s=wish)
        except (ServiceError, SetupError) as error:
            _log.warning("delivery prevented", **names_of(claim), why=error.detail)
            return Failure(error.code, error.detail, ours=True)
        except Exception as error:
            # A fault of ours counts as an attempt too, or one delivery would go round for ever.
            _log.exception("delivery failed", **names_of(claim))
            return Failure("internal-error", type(error).__name__)
        return None

    def _record(self, claim: DeliveryClaim, failure: Failure | None) -> None:
        state, pause_s, rest_s = DeliveryState.DELIVERED, None, 0.0
        line = DeliveryAttempt(at=utc_now(), outcome="delivered")
        if failure:
            line = DeliveryAttempt(at=utc_now(), outcome=failure.reason, detail=failure.detail)
            pause_s = self._pause_s(claim, failure)
            state = DeliveryState.EXHAUSTED if pause_s is None else DeliveryState.PENDING
            rest_s = min(failure.retry_after_s or 0, self._max_rest_s)
        self._count(claim, state, line.outcome, rest_s)
        self._insist(
            lambda: self._deliveries.record(
                claim,
                line,
                state=state,
                again_in_s=pause_s,
                rest_s=rest_s,
                count_attempt=not (failure and failure.ours),
            ),
            claim,
        )

    def _count(
        self, claim: DeliveryClaim, state: DeliveryState, reason: str, rest_s: float
    ) -> None:
        kind = claim.delivery.kind
        self._meters.attempts.labels(kind, state, reason_class(reason)).inc()
        if rest_s:
            self._meters.resting.begin(receiver_of(claim.delivery), rest_s)

    def _pause_s(self, claim: DeliveryClaim, failure: Failure) -> float | None:
        if failure.final:
            return None
        if failure.ours:
            return _OURS_PAUSE_S
        return self._schedule.pause_s(claim.attempt, failure.retry_after_s)

    def _insist(self, record: Callable[[], bool], claim: DeliveryClaim) -> None:
        """Tries for long, also when Redis is away: what is not recorded is told again."""
        end = time.monotonic() + _INSIST_S
        for pause_s in chain(_RECORD_PAUSES_S, repeat(_RECORD_PAUSES_S[-1])):
            try:
                record()
                return
            except ServiceError as error:
                _log.warning("outcome not recorded", **names_of(claim), why=error.detail)
            if time.monotonic() + pause_s > end:
                return
            time.sleep(pause_s)


def names_of(claim: DeliveryClaim) -> dict[str, str]:
    """What each line of the log says of it."""
    delivery = claim.delivery
    return {"delivery": delivery.id, "tenant": delivery.tenant, "job": delivery.job}
