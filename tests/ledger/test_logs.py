"""What becomes of a job without its worker's doing is logged with its id and its tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from structlog.testing import capture_logs

from boxyard_ledger import Claim, Ledger
from boxyard_schemas.words import utc_now

from .conftest import MakeJob


def test_a_lost_job_an_expired_one_and_a_dead_one_are_logged(
    ledger: Ledger,
    accept: MakeJob,
    claim_one: Callable[[], Claim],
    end_leases: Callable[[], None],
):
    lost = accept()
    claim_one()
    end_leases()
    with capture_logs() as said:
        ledger.sweeps.sweep_records()
    (line,) = (line for line in said if line["event"] == "job.requeued")
    assert (line["job"], line["tenant"], line["attempt"]) == (lost.id, "acme", 1)

    for _ in range(ledger.settings.max_attempts - 2):
        ledger.jobs.requeue(claim_one(), reason="it never works")
    with capture_logs() as said:
        ledger.jobs.requeue(claim_one(), reason="it never works")
        late = accept(expires_at=utc_now() - timedelta(seconds=1))
        ledger.sweeps.sweep_records()
        ledger.jobs.replay("acme", lost.id)
        ledger.jobs.erase("acme", late.id)
    told = [(line["event"], line["job"], line["tenant"]) for line in said]
    assert told == [
        ("job.dead", lost.id, "acme"),
        ("job.expired", late.id, "acme"),
        ("job.replayed", lost.id, "acme"),
        ("job.erased", late.id, "acme"),
    ]
    assert "it never works" in said[0]["reason"]
