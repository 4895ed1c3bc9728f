"""A claim passes over tenants that have their share, and finds who stands behind them."""

from __future__ import annotations

from contextlib import closing

import redis

from boxyard_ledger import JobRecord, Ledger
from boxyard_ledger.candidates import Candidates
from boxyard_ledger.connection import Connection
from boxyard_schemas import Priority, UrlImage, new_id
from boxyard_schemas.words import utc_now

MODEL = "stand-in"
READY = f"boxyard:ready:{MODEL}:{Priority.NORMAL}"


def accept(ledger: Ledger, tenant: str, priority: Priority = Priority.NORMAL) -> str:
    job = JobRecord(
        id=new_id("job"),
        tenant=tenant,
        model=MODEL,
        priority=priority,
        images=(UrlImage(url="https://example.org/a.png"),),
        created_at=utc_now(),
    )
    ledger.jobs.accept(job)
    return job.id


def claim(ledger: Ledger, *busy: str, images: int = 2) -> list[str]:
    claims = ledger.jobs.claim(MODEL, worker="w", max_images=images, busy=busy)
    return [claim.job.id for claim in claims]


def test_jobs_of_a_busy_tenant_stay_ready_in_their_order(ledger: Ledger) -> None:
    first, second = accept(ledger, "a"), accept(ledger, "a")
    other = accept(ledger, "b")
    assert claim(ledger, "a") == [other]
    assert claim(ledger, "a") == []
    assert claim(ledger) == [first, second]


def test_priority_still_comes_before_age(ledger: Ledger) -> None:
    accept(ledger, "a", Priority.HIGH)
    normal, high = accept(ledger, "b"), accept(ledger, "b", Priority.HIGH)
    assert claim(ledger, "a") == [high, normal]


def test_a_row_that_is_longer_than_one_look_is_passed_in_several(
    ledger: Ledger, raw: redis.Redis
) -> None:
    raw.zadd(READY, {f"a/{new_id('job')}": 1 for _ in range(10_050)})
    last = accept(ledger, "b")
    assert [claim(ledger, "a") for _ in range(3)] == [[], [last], []]


def test_a_row_that_became_short_is_looked_at_from_its_head(
    ledger: Ledger, raw: redis.Redis
) -> None:
    raw.zadd(READY, {f"a/{new_id('job')}": 1 for _ in range(1000)})
    raw.zadd(READY, {f"b/{number:03}": 2 for number in range(1000)})
    with closing(Connection(ledger.settings)) as connection:
        candidates = Candidates(connection)
        assert candidates.find(MODEL, 1, {"a"}) == [("b/000", READY)]
        raw.zremrangebyrank(READY, 0, -2)
        assert candidates.find(MODEL, 1, {"a"}) == [("b/999", READY)]


def test_when_all_are_busy_nothing_is_claimed(ledger: Ledger) -> None:
    accept(ledger, "a")
    accept(ledger, "b")
    assert claim(ledger, "a", "b") == []
    assert len(claim(ledger, "a")) == 1
