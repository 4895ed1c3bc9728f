from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from boxyard_ledger import (
    DeliveryKind,
    DeliveryState,
    Ledger,
    receiver_of,
)
from boxyard_schemas import Delivery, EndpointRequest, EventType

from .outcomes import DELIVERED, EXHAUSTED, PENDING, record, to

SLOW = "https://slow.example:443/hook"


def test_a_job_that_ends_leaves_a_delivery_and_before_that_none(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept(delivery=to("https://receiver.example/hook?a=1"))
    assert ledger.deliveries.list("acme", job.id) == []
    assert ledger.deliveries.next_due() is None
    finish(claim_one())
    (known,) = ledger.deliveries.list("acme", job.id)
    assert (known.state, known.attempts) == (PENDING, [])
    assert known.delivery.target == "https://receiver.example/hook?a=1"
    assert (known.delivery.tenant, known.delivery.job) == ("acme", job.id)
    assert ledger.deliveries.next_due() == 0
    assert ledger.deliveries.list("other", job.id) == []


def test_a_callback_hears_of_its_events_alone(ledger: Ledger, accept: Callable):
    job = accept(delivery=to("https://receiver.example/hook", EventType.SUCCEEDED))
    ledger.jobs.cancel("acme", job.id)
    assert ledger.deliveries.list("acme", job.id) == []


def test_a_bucket_gets_results_alone(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    done, other = (accept(delivery=Delivery(s3="s3://mine/results"), age_s=age) for age in (1, 0))
    finish(claim_one(), succeeded=0, failed=1)
    ledger.jobs.cancel("acme", other.id)
    (known,) = ledger.deliveries.list("acme", done.id)
    assert (known.delivery.kind, known.delivery.target) == (
        DeliveryKind.BUCKET,
        "s3://mine/results",
    )
    assert ledger.deliveries.list("acme", other.id) == []


def test_an_endpoint_s_deliveries_name_it_and_go_with_it(ledger: Ledger, accept: Callable):
    request = EndpointRequest(url="https://receiver.example/hook", events=(EventType.CANCELLED,))
    endpoint = ledger.endpoints.add("acme", request)
    first, second = (accept(delivery=Delivery(endpoint=endpoint.id)) for _ in range(2))
    ledger.jobs.cancel("acme", first.id)
    (known,) = ledger.deliveries.list("acme", first.id)
    assert (known.delivery.endpoint, known.delivery.target) == (endpoint.id, str(endpoint.url))
    ledger.endpoints.remove("acme", endpoint.id)
    ledger.jobs.cancel("acme", second.id)
    assert ledger.deliveries.list("acme", second.id) == []


def test_another_tenant_s_endpoint_gets_nothing(ledger: Ledger, accept: Callable):
    request = EndpointRequest(url="https://receiver.example/hook")
    endpoint = ledger.endpoints.add("other", request)
    job = accept(delivery=Delivery(endpoint=endpoint.id))
    ledger.jobs.cancel("acme", job.id)
    assert ledger.deliveries.list("acme", job.id) == []


def test_a_delivered_delivery_is_done(ledger: Ledger, cancelled: Callable):
    job = cancelled(to("https://receiver.example/hook"))
    (claim,) = ledger.deliveries.claim(worker="d")
    assert claim.attempt == 1
    assert ledger.deliveries.list("acme", job.id)[0].state is DeliveryState.SENDING
    assert record(ledger, claim, DELIVERED)
    (known,) = ledger.deliveries.list("acme", job.id)
    assert known.state is DELIVERED
    assert [line.outcome for line in known.attempts] == ["delivered"]
    assert ledger.deliveries.claim(worker="d") == []
    assert ledger.deliveries.next_due() is None


def test_a_delivery_to_be_tried_again_waits_for_its_time(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis
):
    cancelled(to("https://receiver.example/hook"))
    (claim,) = ledger.deliveries.claim(worker="d")
    assert record(ledger, claim, PENDING, wait_s=60)
    assert ledger.deliveries.claim(worker="d") == []
    assert 50 < (ledger.deliveries.next_due() or 0) <= 60
    for index in ("boxyard:receivers", *raw.keys("*:pending")):
        raw.zadd(index, dict.fromkeys(raw.zrange(index, 0, -1), 1))
    (again,) = ledger.deliveries.claim(worker="d")
    assert (again.delivery, again.attempt) == (claim.delivery, 2)


def test_an_attempt_that_never_got_as_far_as_the_receiver_does_not_count(
    ledger: Ledger, cancelled: Callable
):
    cancelled(to("https://receiver.example/hook"))
    for count_attempt in (False, True):
        (claim,) = ledger.deliveries.claim(worker="d")
        assert claim.attempt == 1
        record(ledger, claim, PENDING, wait_s=0, count_attempt=count_attempt)
    (claim,) = ledger.deliveries.claim(worker="d")
    assert claim.attempt == 2


def test_an_outcome_counts_once(ledger: Ledger, cancelled: Callable):
    job = cancelled(to("https://receiver.example/hook"))
    (claim,) = ledger.deliveries.claim(worker="d")
    assert record(ledger, claim, EXHAUSTED)
    assert record(ledger, claim, EXHAUSTED), "the answer was lost: what it said stands"
    (known,) = ledger.deliveries.list("acme", job.id)
    assert (known.state, len(known.attempts)) == (EXHAUSTED, 1)


@pytest.mark.parametrize("held_by_another", [False, True])
def test_a_deliverer_that_lost_its_receiver_records_nothing(
    ledger: Ledger, cancelled: Callable, end_leases: Callable, held_by_another: bool
):
    cancelled(to("https://receiver.example/hook"))
    (stale,) = ledger.deliveries.claim(worker="d")
    end_leases()
    assert ledger.deliveries.release_expired_leases(10) == 1
    if held_by_another:
        assert len(ledger.deliveries.claim(worker="e")) == 1
    assert not record(ledger, stale, DELIVERED)


def test_only_when_its_time_is_said_is_a_delivery_tried_again(ledger: Ledger, cancelled: Callable):
    cancelled(to("https://receiver.example/hook"))
    (claim,) = ledger.deliveries.claim(worker="d")
    with pytest.raises(ValueError, match="again_in_s"):
        record(ledger, claim, PENDING)
    with pytest.raises(ValueError, match="again_in_s"):
        record(ledger, claim, DELIVERED, wait_s=1)


def test_a_claim_is_of_one_receiver_and_that_one_is_held(
    ledger: Ledger, cancelled: Callable, trusted: Callable
):
    trusted(SLOW)
    for _ in range(3):
        cancelled(to("https://slow.example/hook"))
    cancelled(to("https://quick.example/hook"))
    slow, quick = ledger.deliveries.claim(worker="d"), ledger.deliveries.claim(worker="e")
    assert [len(slow), len(quick)] == [3, 1]
    assert ledger.deliveries.claim(worker="f") == []


def test_a_receiver_stays_held_until_its_last_outcome(
    ledger: Ledger, cancelled: Callable, trusted: Callable
):
    trusted(SLOW)
    for _ in range(3):
        cancelled(to("https://slow.example/hook"))
    first, second = ledger.deliveries.claim(worker="d", limit=2)
    assert record(ledger, first, DELIVERED)
    assert ledger.deliveries.claim(worker="e") == []
    assert record(ledger, second, DELIVERED)
    assert len(ledger.deliveries.claim(worker="e")) == 1


def test_a_deliverer_that_looked_before_another_took_the_receiver_gets_nothing(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis, trusted: Callable
):
    trusted(SLOW)
    for _ in range(3):
        cancelled(to("https://slow.example/hook"))
    (receiver,) = raw.zrange("boxyard:receivers", 0, -1)
    assert len(ledger.deliveries.claim(worker="d", limit=2)) == 2
    raw.zadd("boxyard:receivers", {receiver: 1})
    assert ledger.deliveries.claim(worker="e", limit=2) == []


def test_nothing_is_due_while_its_receiver_is_held(ledger: Ledger, cancelled: Callable):
    for _ in range(2):
        cancelled(to("https://slow.example/hook"))
    ledger.deliveries.claim(worker="d", limit=1)
    assert ledger.deliveries.next_due() is None


def test_what_comes_for_a_held_receiver_waits_and_is_not_lost(ledger: Ledger, cancelled: Callable):
    cancelled(to("https://slow.example/hook"))
    (claim,) = ledger.deliveries.claim(worker="d")
    later = cancelled(to("https://slow.example:443/hook?other"))
    assert ledger.deliveries.claim(worker="e") == []
    record(ledger, claim, PENDING, wait_s=60)
    (next_one,) = ledger.deliveries.claim(worker="e")
    assert next_one.delivery.job == later.id


def test_a_slow_receiver_delays_nobody(ledger: Ledger, cancelled: Callable):
    """Two deliverers; one sits on a receiver with a hundred deliveries."""
    for _ in range(100):
        cancelled(to("https://slow.example/hook"))
    for number in range(5):
        cancelled(to(f"https://quick{number}.example/hook"))
    ledger.deliveries.claim(worker="d")
    served = [ledger.deliveries.claim(worker="e") for _ in range(6)]
    assert [len(claims) for claims in served] == [1, 1, 1, 1, 1, 0]


def test_a_long_backlog_waits_its_turn_with_a_single_deliverer(
    ledger: Ledger, cancelled: Callable, trusted: Callable
):
    trusted(SLOW)
    for _ in range(4):
        cancelled(to("https://slow.example/hook"))
    first, second = ledger.deliveries.claim(worker="d", limit=2)
    quick = cancelled(to("https://quick.example/hook"))
    for claim in (first, second):
        record(ledger, claim, DELIVERED)
    (next_one,) = ledger.deliveries.claim(worker="d", limit=2)
    assert next_one.delivery.job == quick.id


def test_a_held_receiver_is_free_again_when_its_holder_dies(
    ledger: Ledger, cancelled: Callable, end_leases: Callable, trusted: Callable
):
    trusted(SLOW)
    jobs = [cancelled(to("https://slow.example/hook")) for _ in range(2)]
    first, _ = ledger.deliveries.claim(worker="d")
    record(ledger, first, DELIVERED)
    assert ledger.deliveries.release_expired_leases(10) == 0
    end_leases()
    assert ledger.deliveries.release_expired_leases(10) == 1
    (again,) = ledger.deliveries.claim(worker="e")
    assert again.attempt == 2
    logs = [ledger.deliveries.list("acme", job.id)[0].attempts for job in jobs]
    outcomes = sorted([line.outcome for line in log] for log in logs)
    assert outcomes == [["delivered"], ["deliverer-lost"]]


def test_a_receiver_whose_holder_spoke_up_meanwhile_is_not_freed(
    ledger: Ledger, cancelled: Callable, raw: redis.Redis
):
    job = cancelled(to("https://receiver.example/hook"))
    ledger.deliveries.claim(worker="d")
    (receiver,) = raw.zrange("boxyard:receiver-leases", 0, -1)
    assert not ledger.deliveries._receivers.release(receiver)
    assert ledger.deliveries.list("acme", job.id)[0].state is DeliveryState.SENDING


def test_what_a_later_holder_left_is_not_lost_by_a_sweeper_that_stood_still(
    ledger: Ledger, cancelled: Callable, end_leases: Callable, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        cancelled(to("https://receiver.example/hook"))
    (first,) = ledger.deliveries.claim(worker="d")
    end_leases()
    receivers, connection = ledger.deliveries._receivers, ledger.deliveries._connection
    command, meanwhile = connection.command, [True]

    def stand_still(*words: str | float) -> object:
        answer = command(*words)
        if words[0] == "SMEMBERS" and meanwhile and meanwhile.pop():
            record(ledger, first, DELIVERED)
            assert len(ledger.deliveries.claim(worker="dies")) == 1
            end_leases()
        return answer

    monkeypatch.setattr(connection, "command", stand_still)
    assert not receivers.release(receiver_of(first.delivery))
    assert ledger.deliveries.release_expired_leases(10) == 1
    (again,) = ledger.deliveries.claim(worker="e")
    assert again.attempt == 2


def test_an_outcome_prolongs_the_hold_on_the_rest(
    ledger: Ledger, cancelled: Callable, end_leases: Callable, trusted: Callable
):
    trusted(SLOW)
    for _ in range(2):
        cancelled(to("https://slow.example/hook"))
    first, second = ledger.deliveries.claim(worker="d")
    end_leases()
    record(ledger, first, DELIVERED)
    assert ledger.deliveries.release_expired_leases(10) == 0
    assert record(ledger, second, DELIVERED)


def test_concurrent_deliverers_never_share_a_receiver(ledger: Ledger, cancelled: Callable):
    for number in range(40):
        cancelled(to(f"https://receiver{number % 4}.example/hook"))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda name: ledger.deliveries.claim(worker=str(name)), range(8)))
    served = [{claim.delivery.target for claim in claims} for claims in taken if claims]
    assert sorted(map(len, served)) == [1, 1, 1, 1]
    assert len(set.union(*served)) == 4


def test_the_log_keeps_the_last_fifty_attempts(ledger: Ledger, cancelled: Callable):
    job = cancelled(to("https://receiver.example/hook"))
    for _ in range(60):
        (claim,) = ledger.deliveries.claim(worker="d")
        record(ledger, claim, PENDING, wait_s=0)
    (known,) = ledger.deliveries.list("acme", job.id)
    assert len(known.attempts) == 50
