"""Deliveries as their tenant sees them."""

from __future__ import annotations

from boxyard_ledger import DeliveryStatus, Ledger
from boxyard_schemas import JobDelivery, JobDeliveryAttempt, JobDeliveryList


def list_deliveries(ledger: Ledger, tenant: str, job_id: str) -> JobDeliveryList:
    """Every delivery of a job."""
    return JobDeliveryList(deliveries=tuple(map(view, ledger.deliveries.list(tenant, job_id))))


def view(status: DeliveryStatus) -> JobDelivery:
    """A delivery with its log of attempts."""
    record = status.delivery
    return JobDelivery(
        id=record.id,
        job=record.job,
        kind=record.kind.value,
        target=record.target,
        endpoint=record.endpoint,
        state=status.state.value,
        created_at=record.created_at,
        next_attempt_at=status.next_at,
        attempts=tuple(
            JobDeliveryAttempt(at=each.at, outcome=each.outcome, detail=each.detail)
            for each in status.attempts
        ),
    )
