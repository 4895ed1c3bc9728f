"""A result is stored once and recorded once; what nobody will record is removed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from boxyard_ledger import BlobMissing, JobRecord, Ledger, result_key
from boxyard_schemas import (
    ImageFailure,
    ImageInfo,
    ImageSuccess,
    JobResult,
    JobState,
    Provenance,
    Timings,
    UrlImage,
    new_id,
)
from boxyard_schemas.errors import Unavailable
from boxyard_schemas.words import utc_now
from boxyard_worker.detect.hands import Later
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.results import Results


def hold(ledger: Ledger) -> HeldJob:
    job = JobRecord(
        id=new_id("job"),
        tenant="default",
        model="stand-in",
        images=(UrlImage(url="https://example.org/a.png"),),
        created_at=utc_now(),
    )
    ledger.jobs.accept(job)
    (claim,) = ledger.jobs.claim("stand-in", worker="w", max_images=1)
    return HeldJob(claim)


def result_of(job: HeldJob, code: str = "none") -> JobResult:
    return JobResult(
        job=job.record.id,
        images=(ImageFailure(code=code, detail=""),),
        provenance=Provenance(
            model="stand-in",
            weights_sha256="",
            config_sha256="",
            device="cpu",
            precision="float32",
            versions={},
        ),
    )


@pytest.fixture
def results(ledger: Ledger) -> Results:
    return Results(ledger, patience_s=0, stopping=threading.Event())


def test_the_result_of_a_job_that_was_cancelled_meanwhile_is_removed(
    ledger: Ledger, results: Results
) -> None:
    job = hold(ledger)
    ledger.jobs.cancel("default", job.record.id)
    assert not results.record(job, result_of(job))
    with pytest.raises(BlobMissing):
        ledger.blobs.get(result_key("default", job.record.id, job.claim.token))
    assert list(ledger.blobs.keys("default/results/")) == []


def test_the_result_of_a_job_that_was_erased_meanwhile_is_removed(
    ledger: Ledger, results: Results
) -> None:
    job = hold(ledger)
    ledger.jobs.erase("default", job.record.id)
    assert not results.record(job, result_of(job))
    assert list(ledger.blobs.keys("default/results/")) == []


def test_a_loser_removes_its_own_result_and_not_the_winners(
    ledger: Ledger, results: Results
) -> None:
    loser = hold(ledger)
    ledger.jobs.requeue(loser.claim, reason="its lease ended")
    (claim,) = ledger.jobs.claim("stand-in", worker="other", max_images=1)
    winner = HeldJob(claim)
    assert results.record(winner, result_of(winner, "winner"))
    assert not results.record(loser, result_of(loser, "loser"))
    recorded = ledger.jobs.get("default", loser.record.id).result
    assert recorded is not None
    assert list(ledger.blobs.keys("default/results/")) == [recorded.key]
    assert b"winner" in ledger.blobs.get(recorded.key)


def test_a_finish_that_is_said_twice_keeps_its_result(ledger: Ledger, results: Results) -> None:
    job = hold(ledger)
    assert results.record(job, result_of(job))
    assert results.record(job, result_of(job))
    status = ledger.jobs.get("default", job.record.id)
    assert status.state == JobState.FAILED
    assert status.result is not None
    assert ledger.blobs.get(status.result.key)


def test_a_recorded_result_is_kept_though_a_twin_of_its_claim_is_refused(
    ledger: Ledger, results: Results
) -> None:
    """Redis may give a token again when it has lost that it did."""
    job = hold(ledger)
    assert results.record(job, result_of(job))
    info = ImageInfo(width=1, height=1, sha256="0" * 64)
    timings = Timings(fetch=0, decode=0, infer=0, encode=0)
    other = ImageSuccess(boxes=(), image=info, timings_ms=timings)
    twin = HeldJob(job.claim)
    assert not results.record(twin, result_of(twin).model_copy(update={"images": (other,)}))
    recorded = ledger.jobs.get("default", job.record.id).result
    assert recorded is not None
    assert ledger.blobs.get(recorded.key)


def test_an_outage_of_the_store_is_waited_out_and_the_result_recorded_then(
    ledger: Ledger, tmp_path: Path
) -> None:
    job, patient = hold(ledger), Results(ledger, patience_s=600, stopping=threading.Event())
    ledger.blobs.check()
    (tmp_path / "blobs/default").symlink_to(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(Later):
            patient.record(job, result_of(job))
    (tmp_path / "away").mkdir()
    assert patient.record(job, result_of(job))


def test_a_worker_that_shuts_down_does_not_wait_for_a_store_that_is_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping, job = threading.Event(), hold(ledger)
    patient = Results(ledger, patience_s=600, stopping=stopping)

    def fail(*_: object, **__: object) -> None:
        stopping.set()
        raise Unavailable("The blob store is away.", retry_after_s=5)

    monkeypatch.setattr(ledger.blobs, "put", fail)
    with pytest.raises(Unavailable):
        patient.record(job, result_of(job))
