"""Random histories against a small model: every job ends once, whoever comes late is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from boxyard_ledger import (
    Claim,
    EmbeddedRedis,
    JobRecord,
    Ledger,
    LedgerSettings,
    ResultReference,
)
from boxyard_schemas import Callback, Delivery, JobState, Priority, UrlImage, new_id
from boxyard_schemas.words import utc_now

from .conftest import MODEL

MAX_ATTEMPTS = 3


@dataclass
class Expected:
    """What the model believes of one job."""

    job: JobRecord
    state: JobState = JobState.QUEUED
    attempts: int = 0
    token: int | None = None
    result: str | None = None
    ended: list[JobState] = field(default_factory=list)

    def end(self, state: JobState) -> None:
        self.state, self.token = state, None
        self.ended.append(state)


class Yard(RuleBasedStateMachine):
    """The ledger's steps in any order, by workers that may be stale."""

    url: str
    claims = Bundle("claims")

    @initialize()
    def open(self) -> None:
        self.raw = redis.Redis.from_url(self.url, decode_responses=True)
        self.raw.flushall()
        self.folder = TemporaryDirectory()
        blob_url = Path(self.folder.name).as_uri()
        self.ledger = Ledger.open(
            LedgerSettings(redis_url=self.url, blob_url=blob_url, max_attempts=MAX_ATTEMPTS)
        )
        self.jobs: dict[str, Expected] = {}
        self.feed = self.ledger.jobs.subscribe()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.feed.close()
            self.ledger.close()
            self.raw.close()
            self.folder.cleanup()

    @rule(priority=st.sampled_from(Priority), images=st.integers(1, 3))
    def accept(self, priority: Priority, images: int) -> None:
        job = JobRecord(
            id=new_id("job"),
            tenant="acme",
            model=MODEL,
            images=(UrlImage(url="https://pictures.example/a.jpg"),) * images,
            priority=priority,
            created_at=utc_now(),
            delivery=Delivery(callback=Callback(url="https://receiver.example/")),
        )
        self.ledger.jobs.accept(job)
        self.jobs[job.id] = Expected(job)

    @rule(target=claims, max_images=st.integers(1, 5))
    def claim(self, max_images: int) -> object:
        taken = self.ledger.jobs.claim(MODEL, worker="w", max_images=max_images)
        assert bool(taken) == any(job.state is JobState.QUEUED for job in self.jobs.values())
        for claim in taken:
            known = self.jobs[claim.job.id]
            assert known.state is JobState.QUEUED
            known.state, known.token = JobState.RUNNING, claim.token
            known.attempts += 1
            assert claim.attempt == known.attempts
        return multiple(*taken)

    @rule(claim=claims, succeeded=st.integers(0, 1))
    def finish(self, claim: Claim, succeeded: int) -> None:
        known, key = self.jobs[claim.job.id], f"result of {claim.token}"
        result = ResultReference(key=key, sha256="0" * 64, size=1)
        state = JobState.SUCCEEDED if succeeded else JobState.FAILED
        held, again = known.token == claim.token, (known.state, known.result) == (state, key)
        done = self.ledger.jobs.finish(claim, result, succeeded=succeeded, failed=1 - succeeded)
        assert done == (held or again)
        if held:
            known.end(state)
            known.result = key

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        held = self.jobs[claim.job.id].token == claim.token
        assert self.ledger.jobs.renew([claim]) == (set() if held else {claim.job.id})

    @rule(claim=consumes(claims), clean=st.booleans())
    def requeue(self, claim: Claim, clean: bool) -> None:
        known = self.jobs[claim.job.id]
        held = known.token == claim.token
        assert self.ledger.jobs.requeue(claim, reason="x", count_attempt=not clean) == held
        if held:
            known.attempts -= clean
            self._give_back(known, dead=not clean and known.attempts >= MAX_ATTEMPTS)

    @rule(claim=claims)
    def lose_the_lease(self, claim: Claim) -> None:
        known = self.jobs[claim.job.id]
        if known.token is not None:
            self.raw.zadd("boxyard:leases", {f"acme/{claim.job.id}": 1})
            self._give_back(known, dead=known.attempts >= MAX_ATTEMPTS)
            assert self.ledger.sweeps.release_expired_leases(10) == 1
        assert self.ledger.sweeps.release_expired_leases(10) == 0

    def _give_back(self, known: Expected, *, dead: bool) -> None:
        known.state, known.token = JobState.QUEUED, None
        if dead:
            known.end(JobState.DEAD)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        known = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        status = self.ledger.jobs.cancel("acme", known.job.id)
        if not known.state.terminal:
            known.end(JobState.CANCELLED)
        assert status.state is known.state

    @invariant()
    def every_job_stands_as_expected(self) -> None:
        listed, _ = self.ledger.jobs.list("acme", limit=1000)
        assert {status.job.id: status.state for status in listed} == {
            name: known.state for name, known in self.jobs.items()
        }
        for status in listed:
            known = self.jobs[status.job.id]
            assert status.attempts == known.attempts
            assert (status.result.key if status.result else None) == known.result

    @invariant()
    def the_indexes_agree_with_the_states(self) -> None:
        by_state = {
            state: {f"acme/{name}" for name, known in self.jobs.items() if known.state is state}
            for state in JobState
        }
        ready = {
            member
            for priority in Priority
            for member in self.raw.zrange(f"boxyard:ready:{MODEL}:{priority}", 0, -1)
        }
        assert ready == by_state[JobState.QUEUED]
        assert set(self.raw.zrange("boxyard:leases", 0, -1)) == by_state[JobState.RUNNING]
        for state in JobState:
            ids = self.raw.zrange(f"boxyard:acme:jobs:{state}", 0, -1)
            assert {f"acme/{name}" for name in ids} == by_state[state]

    @invariant()
    def each_end_is_told_once(self) -> None:
        for known in self.jobs.values():
            assert len(known.ended) == known.state.terminal
            assert len(self.ledger.deliveries.list("acme", known.job.id)) == len(known.ended)
            if known.ended:
                assert self.raw.zscore("boxyard:ended", f"acme/{known.job.id}") is not None


@pytest.fixture
def yard(embedded_redis: EmbeddedRedis) -> type[Yard]:
    Yard.url = embedded_redis.url
    return Yard


def test_no_history_of_steps_breaks_the_invariants(yard: type[Yard]):
    run_state_machine_as_test(
        yard,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
