"""Random histories against a small model: every job ends once, whoever comes late is refused.

And nothing is left of what was erased, while nothing is missing of what stands.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from boxyard_ledger import (
    Claim,
    EmbeddedRedis,
    ResultReference,
    result_key,
)
from boxyard_ledger.blobs.store import reference_to
from boxyard_schemas import (
    JobState,
    Priority,
)

from .books import MAX_ATTEMPTS, Books, Expected
from .conftest import MODEL


class Yard(Books):
    """And what workers do, that may be stale."""

    claims = Bundle("claims")

    def held(self, claim: Claim) -> Expected | None:
        """The job of a claim that holds."""
        known = self.jobs.get(claim.job.id)
        return known if known and known.token == claim.token else None

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

    @rule(claim=claims)
    def store(self, claim: Claim) -> None:
        """A worker that was fenced out stores what it made, too; its job will end later."""
        known = self.jobs.get(claim.job.id)
        if known and not known.state.terminal:
            self.put(claim)

    def put(self, claim: Claim) -> ResultReference:
        return self.ledger.blobs.put(result_key("acme", claim.job.id, claim.token), b"{}")

    @rule(claim=claims, succeeded=st.integers(0, 1))
    def finish(self, claim: Claim, succeeded: int) -> None:
        known, held = self.jobs.get(claim.job.id), self.held(claim)
        key = result_key("acme", claim.job.id, claim.token)
        result = self.put(claim) if held else reference_to(key, b"{}")
        state = JobState.SUCCEEDED if succeeded else JobState.FAILED
        again = known is not None and (known.state, known.result) == (state, key)
        done = self.ledger.jobs.finish(claim, result, succeeded=succeeded, failed=1 - succeeded)
        assert done == (held is not None or again)
        if held:
            held.end(state)
            held.result = key

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        lost = set() if self.held(claim) else {claim.job.id}
        assert self.ledger.jobs.renew([claim]) == lost

    @rule(claim=consumes(claims), clean=st.booleans())
    def requeue(self, claim: Claim, clean: bool) -> None:
        known = self.held(claim)
        held = known is not None
        assert self.ledger.jobs.requeue(claim, reason="x", count_attempt=not clean) == held
        if known:
            known.attempts -= clean
            self._give_back(known, dead=not clean and known.attempts >= MAX_ATTEMPTS)

    @rule(claim=claims)
    def lose_the_lease(self, claim: Claim) -> None:
        known = self.jobs.get(claim.job.id)
        if known and known.token is not None:
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

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        dead = sorted(name for name, known in self.jobs.items() if known.state is JobState.DEAD)
        if dead:
            known = self.jobs[data.draw(st.sampled_from(dead))]
            known.state, known.attempts = JobState.QUEUED, 0
            assert self.ledger.jobs.replay("acme", known.job.id).state is JobState.QUEUED

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
            assert [state for state in known.ended[:-1] if state is not JobState.DEAD] == []
            assert known.state in (*known.ended[-1:], JobState.QUEUED, JobState.RUNNING)
            assert len(self.ledger.deliveries.list("acme", known.job.id)) == len(known.ended)
            ended = self.raw.zscore("boxyard:ended", f"acme/{known.job.id}") is not None
            assert ended == known.state.terminal


@pytest.fixture
def yard(embedded_redis: EmbeddedRedis) -> type[Yard]:
    Yard.url = embedded_redis.url
    return Yard


def test_no_history_of_steps_breaks_the_invariants(yard: type[Yard]):
    run_state_machine_as_test(
        yard,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
