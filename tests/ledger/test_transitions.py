"""What a sweeper decided on may have changed before it acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from boxyard_ledger import Ledger
from boxyard_ledger.connection import Connection
from boxyard_ledger.erasures import Erasures
from boxyard_ledger.retention import Retention
from boxyard_ledger.transitions import Transitions
from boxyard_schemas import JobState
from boxyard_schemas.words import utc_now


@pytest.fixture
def connection(ledger: Ledger) -> Iterator[Connection]:
    connection = Connection(ledger.settings)
    yield connection
    connection.close()


@pytest.fixture
def transitions(ledger: Ledger, connection: Connection) -> Transitions:
    return Transitions(connection, ledger.endpoints, ledger.quarantine)


@pytest.fixture
def retention(ledger: Ledger, connection: Connection) -> Retention:
    return Retention(
        connection,
        Erasures(connection, ledger.blobs, ledger.quarantine),
        ledger.quarantine,
    )


@pytest.mark.parametrize("step", ["requeue", "bury"])
def test_a_claim_that_was_renewed_meanwhile_is_not_taken_back(
    *,
    ledger: Ledger,
    transitions: Transitions,
    accept: Callable,
    claim_one: Callable,
    end_leases: Callable,
    step: str,
):
    job = accept()
    held = claim_one()
    end_leases()
    assert ledger.jobs.renew([held]) == set()
    assert not getattr(transitions, step)(held, reason="lost", only_lost=True)
    assert ledger.jobs.get("acme", job.id).state is JobState.RUNNING
    end_leases()
    assert getattr(transitions, step)(held, reason="lost", only_lost=True)


@pytest.mark.parametrize("in_s", [None, 60])
def test_a_job_whose_time_has_not_come_does_not_expire(
    ledger: Ledger, transitions: Transitions, accept: Callable, in_s: int | None
):
    job = accept(expires_at=in_s and utc_now() + timedelta(seconds=in_s))
    assert not transitions.expire(job)
    assert ledger.jobs.get("acme", job.id).state is JobState.QUEUED


def test_a_job_that_has_not_ended_as_was_seen_is_not_forgotten(
    ledger: Ledger, retention: Retention, accept: Callable
):
    job = accept()
    queued = ledger.jobs.get("acme", job.id)
    for state in (JobState.QUEUED, JobState.CANCELLED):
        assert not retention.erase(queued.model_copy(update={"state": state}))
    assert ledger.jobs.get("acme", job.id) == queued
