from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from boxyard_ledger import Claim, Ledger
from boxyard_schemas import JobState, Priority
from boxyard_schemas.words import utc_now

from .conftest import MODEL


def claim(ledger: Ledger, max_images: int = 32) -> list[str]:
    return [held.job.id for held in ledger.jobs.claim(MODEL, worker="w", max_images=max_images)]


def test_a_claimed_job_runs_under_a_token_and_is_ready_no_more(ledger: Ledger, accept: Callable):
    job = accept(images=2)
    (held,) = ledger.jobs.claim(MODEL, worker="w", max_images=32)
    assert held == Claim(job=job, token=1, attempt=1, strikes=(0, 0))
    status = ledger.jobs.get("acme", job.id)
    assert (status.state, status.attempts) == (JobState.RUNNING, 1)
    assert status.started_at is not None
    assert ledger.jobs.ready(MODEL) == 0
    assert claim(ledger) == []


def test_higher_priorities_go_first_and_then_the_older(ledger: Ledger, accept: Callable):
    low = accept(priority=Priority.LOW, age_s=90)
    young, old = accept(age_s=10), accept(age_s=60)
    high = accept(priority=Priority.HIGH)
    assert claim(ledger) == [high.id, old.id, young.id, low.id]


def test_a_claim_takes_jobs_while_their_images_fit(ledger: Ledger, accept: Callable):
    first, second, third = (accept(images=20, age_s=age) for age in (3, 2, 1))
    assert claim(ledger, 40) == [first.id, second.id]
    assert claim(ledger, 40) == [third.id]


def test_a_claim_takes_one_job_though_it_is_too_large(ledger: Ledger, accept: Callable):
    large, _ = accept(images=64, age_s=2), accept(age_s=1)
    assert claim(ledger, 32) == [large.id]


def test_a_claim_serves_one_model(ledger: Ledger, accept: Callable):
    accept(model="another")
    assert claim(ledger) == []


def test_a_job_not_started_in_time_expires_when_it_would_be_claimed(
    ledger: Ledger, accept: Callable
):
    late = accept(expires_at=utc_now() - timedelta(seconds=1))
    fine = accept(expires_at=utc_now() + timedelta(seconds=60))
    assert claim(ledger) == [fine.id]
    status = ledger.jobs.get("acme", late.id)
    assert (status.state, status.attempts) == (JobState.EXPIRED, 0)


@pytest.mark.parametrize("off_s", [-3600, 3600])
def test_a_job_waits_as_long_as_was_asked_whatever_the_server_s_clock_says(
    ledger: Ledger, accept: Callable, raw: redis.Redis, off_s: int
):
    job = accept(age_s=-off_s, expires_at=utc_now() + timedelta(seconds=off_s + 60))
    due = raw.zscore("boxyard:expiries", f"acme/{job.id}")
    assert due / 1000 == pytest.approx(raw.time()[0] + 60, abs=10)
    assert claim(ledger) == [job.id]


def test_a_started_job_does_not_expire(
    ledger: Ledger, accept: Callable, end_leases: Callable, raw: redis.Redis
):
    job = accept(expires_at=utc_now() + timedelta(seconds=60))
    claim(ledger)
    assert raw.zcard("boxyard:expiries") == 0
    end_leases()
    assert ledger.sweeps.release_expired_leases(10) == 1
    assert claim(ledger) == [job.id]


def test_renewing_prolongs_the_lease(
    ledger: Ledger, accept: Callable, claim_one: Callable, end_leases: Callable
):
    accept()
    held = claim_one()
    end_leases()
    assert ledger.jobs.renew([held]) == set()
    assert ledger.sweeps.release_expired_leases(10) == 0


def test_renewing_tells_which_claims_no_longer_hold(
    ledger: Ledger, accept: Callable, claim_one: Callable
):
    kept, cancelled = accept(age_s=2), accept(age_s=1)
    claims = [claim_one(), claim_one()]
    ledger.jobs.cancel("acme", cancelled.id)
    assert ledger.jobs.renew(claims) == {cancelled.id}
    assert ledger.jobs.get("acme", kept.id).state is JobState.RUNNING
    assert ledger.jobs.renew([]) == set()


def test_a_job_given_back_keeps_its_age_its_strikes_and_its_reason(
    ledger: Ledger, accept: Callable, claim_one: Callable
):
    old, _ = accept(images=2, age_s=60), accept()
    held = claim_one()
    assert ledger.jobs.requeue(held, reason="child died", strikes=[0, 1])
    status = ledger.jobs.get("acme", old.id)
    assert (status.state, status.reason, status.strikes) == (JobState.QUEUED, "child died", (0, 1))
    again = claim_one()
    assert again == Claim(job=old, token=2, attempt=2, strikes=(0, 1))


def test_a_clean_hand_back_is_no_attempt(ledger: Ledger, accept: Callable, claim_one: Callable):
    accept()
    assert ledger.jobs.requeue(claim_one(), reason="shutdown", count_attempt=False)
    assert claim_one().attempt == 1


def test_a_job_out_of_attempts_is_dead_and_says_why(
    ledger: Ledger, accept: Callable, claim_one: Callable
):
    job = accept()
    for _ in range(ledger.settings.max_attempts):
        assert ledger.jobs.requeue(claim_one(), reason="no luck")
    status = ledger.jobs.get("acme", job.id)
    assert status.state is JobState.DEAD
    assert status.reason == "Gave up after 20 attempts; the last: no luck"
    assert ledger.jobs.ready(MODEL) == 0


def test_a_zombie_cannot_bury_a_job(
    ledger: Ledger, accept: Callable, claim_one: Callable, end_leases: Callable
):
    job = accept()
    last = {"attempt": ledger.settings.max_attempts}
    zombie = claim_one().model_copy(update=last)
    end_leases()
    ledger.sweeps.release_expired_leases(10)
    assert not ledger.jobs.requeue(zombie, reason="x")
    assert ledger.jobs.get("acme", job.id).state is JobState.QUEUED


@pytest.mark.parametrize("held_by_another", [False, True])
def test_a_zombie_whose_lease_ended_changes_nothing(
    *,
    ledger: Ledger,
    accept: Callable,
    claim_one: Callable,
    finish: Callable,
    end_leases: Callable,
    held_by_another: bool,
):
    job = accept()
    zombie = claim_one()
    end_leases()
    assert ledger.sweeps.release_expired_leases(10) == 1
    if held_by_another:
        claim_one()
    before = ledger.jobs.get("acme", job.id)
    assert not finish(zombie)
    assert not ledger.jobs.requeue(zombie, reason="x", strikes=[3])
    assert ledger.jobs.renew([zombie]) == {job.id}
    assert ledger.jobs.get("acme", job.id) == before
