"""Whose turn it is: no receiver waits for another."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from boxyard_ledger import (
    DeliveryKind,
    DeliveryRecord,
    JobRecord,
    Ledger,
    lanes_of,
    receiver_of,
)
from boxyard_schemas import Callback, Delivery, JobState, new_id
from boxyard_schemas.words import utc_now

from .outcomes import DELIVERED, EXHAUSTED, PENDING, record, to

HOOK = "https://receiver.example/hook"
RECEIVER = "acme/https://receiver.example:443/hook"


def test_another_path_or_another_tenant_is_another_receiver(ledger: Ledger, cancelled: Callable):
    cancelled(to(HOOK))
    others = [cancelled(to(HOOK), tenant="other"), cancelled(to("https://receiver.example/other"))]
    assert len(ledger.deliveries.claim(worker="d")) == 1
    taken = [ledger.deliveries.claim(worker="d") for _ in others]
    assert {claim.delivery.job for (claim,) in taken} == {job.id for job in others}


@given(
    target=st.from_regex(
        r"\Ahttps?://([a-z0-9-]{1,20}\.){0,3}[a-z]{1,9}(:[1-9][0-9]{0,3})?(/[!-~]{0,50})?\Z"
    ),
    tenant=st.sampled_from(("acme", "a-b")),
)
def test_a_receiver_has_its_tenants_and_its_origins_lane(target: str, tenant: str):
    url = str(Callback.model_validate({"url": target}).url)
    delivery = DeliveryRecord(
        id=new_id("dlv"),
        tenant=tenant,
        job=new_id("job"),
        kind=DeliveryKind.CALLBACK,
        target=url,
        created_at=utc_now(),
    )
    receiver = receiver_of(delivery)
    first, origin = lanes_of(receiver)
    assert first == tenant
    assert receiver.startswith(f"{origin}/")
    assert origin.count("/") == 3
    assert "?" not in receiver
    assert "#" not in receiver


def test_a_new_receiver_gets_one_delivery_and_with_each_that_it_takes_one_more(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis
):
    for _ in range(40):
        cancelled(to(HOOK))
    for expected in (1, 2, 4, 8, 8):
        claims = ledger.deliveries.claim(worker="d", limit=8)
        assert len(claims) == expected
        for claim in claims:
            assert record(ledger, claim, DELIVERED)
    assert 0 < raw.ttl(f"boxyard:receiver:{RECEIVER}:streak") <= 60


def test_a_receiver_that_failed_last_gets_one_delivery_at_a_time(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis
):
    raw.set(f"boxyard:receiver:{RECEIVER}:streak", 99)
    for _ in range(20):
        cancelled(to(HOOK))
    *taken, refused = ledger.deliveries.claim(worker="d", limit=8)
    for claim in taken:
        record(ledger, claim, DELIVERED)
    record(ledger, refused, PENDING, wait_s=60)
    for _ in range(3):
        (claim,) = ledger.deliveries.claim(worker="d", limit=8)
        record(ledger, claim, EXHAUSTED)


def test_a_receiver_that_took_all_leaves_no_trace(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis
):
    cancelled(to(HOOK))
    (claim,) = ledger.deliveries.claim(worker="d")
    record(ledger, claim, DELIVERED)
    assert raw.keys("*receiver*") == []


def test_a_rest_holds_back_what_waits_and_what_comes_and_nobody_else(
    *, ledger: Ledger, cancelled: Callable, raw: redis.Redis, be_due: Callable
):
    for _ in range(2):
        cancelled(to(HOOK))
    (claim,) = ledger.deliveries.claim(worker="d")
    assert record(ledger, claim, PENDING, wait_s=0, rest_s=60)
    cancelled(to(HOOK))
    cancelled(to("https://receiver.example/other"))
    (other,) = ledger.deliveries.claim(worker="d")
    assert other.delivery.target.endswith("/other")
    assert ledger.deliveries.claim(worker="d") == []
    assert 0 < (ledger.deliveries.next_due() or 0) <= 60
    rest = f"boxyard:receiver:{RECEIVER}:rest"
    assert 0 < raw.pttl(rest) <= 60_000
    raw.delete(rest)
    be_due("boxyard:receivers")
    assert len(ledger.deliveries.claim(worker="d")) == 1


def test_who_is_busy_is_passed_over(ledger: Ledger, cancelled: Callable):
    cancelled(to(HOOK))
    cancelled(to("https://receiver.example:8443/hook"))
    free = cancelled(to(HOOK), tenant="other")
    busy = {"acme/https://receiver.example:443"}
    (claim,) = ledger.deliveries.claim(worker="d", busy=busy)
    assert claim.delivery.target == "https://receiver.example:8443/hook"
    (claim,) = ledger.deliveries.claim(worker="d", busy={"acme"})
    assert claim.delivery.job == free.id
    assert ledger.deliveries.claim(worker="d", busy={"acme"}) == []
    assert len(ledger.deliveries.claim(worker="d")) == 1


@pytest.fixture
def crowd(ledger: Ledger, make_job: Callable, raw: redis.Redis) -> list[JobRecord]:
    """20,000 receivers of one tenant that are due, two of them with a delivery behind them."""
    raw.zadd(
        "boxyard:receivers",
        {f"acme/https://crowd.example:443/{number}": number + 1 for number in range(20_000)},
    )
    jobs = [
        make_job(delivery=Delivery(callback=Callback(url=f"https://crowd.example/{number}")))
        for number in (0, 19_999)
    ]
    for job in jobs:
        ledger.jobs.accept(job)
        ledger.jobs.cancel(job.tenant, job.id)
    return jobs


def test_a_crowd_of_one_tenant_hides_nobody_and_comes_back(
    ledger: Ledger, cancelled: Callable, crowd: list[JobRecord]
):
    job = cancelled(to(HOOK), tenant="other")
    began = time.monotonic()
    (claim,) = ledger.deliveries.claim(worker="d", busy={"acme"})
    assert time.monotonic() - began < 60, "a hundredth of it on an idle machine"
    assert claim.delivery.job == job.id
    found, end = set(), time.monotonic() + 60
    while len(found) < len(crowd) and time.monotonic() < end:
        found |= {claim.delivery.job for claim in ledger.deliveries.claim(worker="d")}
    assert found == {job.id for job in crowd}


def test_an_outcome_of_what_was_forgotten_meanwhile_frees_the_receiver(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis
):
    forgotten, other = (cancelled(to(HOOK)) for _ in range(2))
    (claim,) = ledger.deliveries.claim(worker="d")
    assert claim.delivery.job == forgotten.id
    ledger.jobs.erase("acme", forgotten.id)
    assert ledger.deliveries.claim(worker="e") == []
    assert not record(ledger, claim, EXHAUSTED)
    (next_one,) = ledger.deliveries.claim(worker="e")
    assert next_one.delivery.job == other.id
    assert record(ledger, next_one, DELIVERED)
    assert raw.keys("*receiver*") + raw.keys("*exhausted*") == []
    assert ledger.jobs.get("acme", other.id).state is JobState.CANCELLED


def test_a_late_outcome_of_what_was_forgotten_frees_nobody_elses_receiver(
    ledger: Ledger, cancelled: Callable, end_leases: Callable
):
    forgotten = cancelled(to(HOOK))
    cancelled(to(HOOK))
    (late,) = ledger.deliveries.claim(worker="d")
    end_leases()
    ledger.deliveries.release_expired_leases(10)
    ledger.jobs.erase("acme", forgotten.id)
    (held,) = ledger.deliveries.claim(worker="e")
    assert not record(ledger, late, DELIVERED)
    assert ledger.deliveries.claim(worker="f") == []
    assert record(ledger, held, DELIVERED)


def test_a_renewed_hold_lasts_and_one_that_was_taken_away_does_not_come_back(
    ledger: Ledger, cancelled: Callable, end_leases: Callable, raw: redis.Redis
):
    cancelled(to(HOOK))
    ledger.deliveries.claim(worker="d")
    end_leases()
    ledger.deliveries.renew([RECEIVER])
    assert ledger.deliveries.release_expired_leases(10) == 0
    end_leases()
    assert ledger.deliveries.release_expired_leases(10) == 1
    ledger.deliveries.renew([RECEIVER])
    assert raw.zcard("boxyard:receiver-leases") == 0
    assert len(ledger.deliveries.claim(worker="e")) == 1
