"""A job's deliveries as its tenant sees them."""

from __future__ import annotations

from boxyard_ledger import Ledger
from boxyard_schemas import JobDelivery, JobDeliveryAttempt, JobDeliveryList


def list_deliveries(ledger: Ledger, tenant: str, job_id: str) -> JobDeliveryList:
    """Every delivery of a job, with its log of attempts."""
    return JobDeliveryList(
        deliveries=tuple(
            JobDelivery(
                id=record.id,
                kind=record.kind.value,
                target=record.target,
                state=state.value,
                created_at=record.created_at,
                attempts=tuple(
                    JobDeliveryAttempt(at=each.at, outcome=each.outcome, detail=each.detail)
                    for each in attempts
                ),
            )
            for record, state, attempts in ledger.deliveries.list(tenant, job_id)
        )
    )
