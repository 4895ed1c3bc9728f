"""What a sweeper decided on may have changed before it acts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boxyard_ledger import Ledger
from boxyard_ledger.connection import Connection
from boxyard_ledger.tenants import Tenants
from boxyard_ledger.transitions import Transitions
from boxyard_schemas import JobState


@pytest.mark.parametrize("step", ["requeue", "bury"])
def test_a_claim_that_was_renewed_meanwhile_is_not_taken_back(
    ledger: Ledger, accept: Callable, claim_one: Callable, end_leases: Callable, step: str
):
    connection = Connection(ledger.settings)
    transitions = Transitions(connection, Tenants(connection))
    job = accept()
    held = claim_one()
    end_leases()
    assert ledger.jobs.renew([held]) == set()
    assert not getattr(transitions, step)(held, reason="lost", only_lost=True)
    assert ledger.jobs.get("acme", job.id).state is JobState.RUNNING
    end_leases()
    assert getattr(transitions, step)(held, reason="lost", only_lost=True)
    connection.close()
