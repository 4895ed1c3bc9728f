"""Claims in flight are renewed, and those that are lost are known to be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from boxyard_ledger import Claim, JobRecord, Ledger
from boxyard_schemas import JobState, UploadImage, new_id
from boxyard_schemas.words import utc_now
from boxyard_worker.detect.lease import Leases

MODEL = "stand-in"


@pytest.fixture
def accepted(ledger: Ledger) -> list[JobRecord]:
    jobs = [
        JobRecord(
            id=new_id("job"),
            tenant="default",
            model=MODEL,
            images=(UploadImage(upload=ledger.uploads.store("default", b"pixels").id),),
            created_at=utc_now(),
        )
        for _ in range(2)
    ]
    for job in jobs:
        ledger.jobs.accept(job)
    return jobs


def test_only_the_cancelled_job_is_lost(ledger: Ledger, accepted: list[JobRecord]) -> None:
    leases = Leases(ledger)
    jobs = leases.hold(ledger.jobs.claim(MODEL, worker="w", max_images=9))
    cancelled = jobs[0].record.id
    ledger.jobs.cancel("default", cancelled)
    leases.renew()
    assert [job.lost.is_set() for job in jobs] == [True, False]
    assert ledger.jobs.get("default", jobs[1].record.id).state == JobState.RUNNING


def test_a_job_that_ends_while_leases_are_renewed_is_not_lost(
    ledger: Ledger, accepted: list[JobRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Leases(ledger)
    ends, stays = leases.hold(ledger.jobs.claim(MODEL, worker="w", max_images=9))
    renew = ledger.jobs.renew

    def end_and_renew(claims: Sequence[Claim]) -> set[str]:
        ledger.jobs.requeue(ends.claim, reason="the worker stopped")
        leases.release(ends)
        return renew(claims)

    monkeypatch.setattr(ledger.jobs, "renew", end_and_renew)
    leases.renew()
    assert not ends.lost.is_set()
    assert not stays.lost.is_set()


def test_a_newer_claim_of_the_same_job_takes_the_place_of_the_older(
    ledger: Ledger, accepted: list[JobRecord]
) -> None:
    leases = Leases(ledger)
    (older,) = leases.hold(ledger.jobs.claim(MODEL, worker="w", max_images=1))
    ledger.jobs.requeue(older.claim, reason="its lease ended")
    (newer,) = leases.hold(ledger.jobs.claim(MODEL, worker="w", max_images=1))
    assert newer.record.id == older.record.id
    leases.release(older)
    leases.renew()
    assert older.lost.is_set()
    assert not newer.lost.is_set()
