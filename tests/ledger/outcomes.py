"""Deliveries as the ledger's tests ask for them and end them."""

from __future__ import annotations

from boxyard_ledger import DeliveryAttempt, DeliveryClaim, DeliveryState, Ledger
from boxyard_schemas import Callback, Delivery, EventType
from boxyard_schemas.words import utc_now

DELIVERED, PENDING, EXHAUSTED = (
    DeliveryState.DELIVERED,
    DeliveryState.PENDING,
    DeliveryState.EXHAUSTED,
)


def to(url: str, *events: EventType) -> Delivery:
    return Delivery(callback=Callback(url=url, events=events or tuple(EventType)))


def record(
    ledger: Ledger,
    claim: DeliveryClaim,
    state: DeliveryState,
    *,
    wait_s: float | None = None,
    rest_s: float = 0,
    count_attempt: bool = True,
) -> bool:
    attempt = DeliveryAttempt(at=utc_now(), outcome=state.value)
    return ledger.deliveries.record(
        claim,
        attempt,
        state=state,
        again_in_s=wait_s,
        rest_s=rest_s,
        count_attempt=count_attempt,
    )
