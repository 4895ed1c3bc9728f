from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from boxyard_ledger import Ledger, ResultReference
from boxyard_schemas import JobState
from boxyard_schemas.words import utc_now

from .conftest import MODEL


def test_a_finished_job_has_its_result_and_its_counts(
    ledger: Ledger, accept: Callable, claim_one: Callable
):
    job = accept(images=3)
    result = ResultReference(key="acme/results/x/1.json", sha256="0" * 64, size=2)
    assert ledger.jobs.finish(claim_one(), result, succeeded=2, failed=1)
    status = ledger.jobs.get("acme", job.id)
    assert (status.state, status.result) == (JobState.SUCCEEDED, result)
    assert (status.succeeded, status.failed, status.reason) == (2, 1, None)
    assert status.finished_at is not None


def test_a_job_without_one_good_image_has_failed(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    assert finish(claim_one(), succeeded=0, failed=1)
    status = ledger.jobs.get("acme", job.id)
    assert status.state is JobState.FAILED
    assert status.reason == "No image succeeded; the result says why."


def test_finishing_twice_records_one_result_and_tells_both_that_it_stands(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    held = claim_one()
    assert finish(held)
    before = ledger.jobs.get("acme", job.id)
    assert finish(held), "the answer to the first may have been lost"
    assert ledger.jobs.get("acme", job.id) == before


def test_another_result_of_the_same_claim_does_not_replace_the_first(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    held = claim_one()
    finish(held)
    other = ResultReference(key="other", sha256="1" * 64, size=3)
    assert not ledger.jobs.finish(held, other, succeeded=1, failed=0)
    assert ledger.jobs.get("acme", job.id).result != other


@pytest.mark.parametrize("running", [False, True])
def test_a_cancelled_job_is_out_of_every_index(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable, running: bool
):
    job = accept(expires_at=utc_now() + timedelta(seconds=60))
    held = claim_one() if running else None
    status = ledger.jobs.cancel("acme", job.id)
    assert (status.state, status.reason) == (JobState.CANCELLED, "Cancelled.")
    assert ledger.jobs.claim(MODEL, worker="w", max_images=32) == []
    assert ledger.sweeps.sweep().leases == ledger.sweeps.sweep().expired == 0
    assert held is None or not finish(held)


def test_cancelling_raises_the_token(
    ledger: Ledger, accept: Callable, claim_one: Callable, raw: redis.Redis
):
    job = accept()
    held = claim_one()
    ledger.jobs.cancel("acme", job.id)
    assert int(raw.hget(f"boxyard:acme:job:{job.id}", "token")) > held.token


def test_a_job_that_ended_cannot_be_cancelled(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    finish(claim_one())
    before = ledger.jobs.get("acme", job.id)
    assert ledger.jobs.cancel("acme", job.id) == before


def test_whoever_waits_hears_of_the_end(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    with ledger.jobs.subscribe() as feed:
        done, cancelled = accept(age_s=1), accept()
        assert feed.next(timeout=0.05) is None
        finish(claim_one())
        assert feed.next(timeout=60) == ("acme", done.id)
        ledger.jobs.cancel("acme", cancelled.id)
        assert feed.next(timeout=60) == ("acme", cancelled.id)


def test_a_subscription_hears_from_the_moment_it_was_made(ledger: Ledger, accept: Callable):
    """Who subscribes and then looks at the job misses nothing."""
    job = accept()
    with ledger.jobs.subscribe() as feed:
        ledger.jobs.cancel("acme", job.id)
        assert feed.next(timeout=60) == ("acme", job.id)
