"""What was given up is listed, and can be told once more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from boxyard_ledger import Ledger
from boxyard_schemas import Delivery, EndpointRequest
from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound

from .outcomes import DELIVERED, EXHAUSTED, PENDING, record, to

HOOK = "https://receiver.example/hook"


@pytest.fixture
def give_up(ledger: Ledger, cancelled: Callable) -> Callable[..., str]:
    """A delivery that ends as exhausted; its id."""

    def make(delivery: Delivery | None = None, **fields: object) -> str:
        cancelled(delivery or to(HOOK), **fields)
        (claim,) = ledger.deliveries.claim(worker="d")
        record(ledger, claim, EXHAUSTED)
        return claim.delivery.id

    return make


def exhausted(ledger: Ledger, tenant: str = "acme") -> list[str]:
    return [known.delivery.id for known in ledger.deliveries.exhausted(tenant)[0]]


def test_what_was_given_up_is_listed_newest_first_page_by_page(ledger: Ledger, give_up: Callable):
    ids, cursor, found = [give_up() for _ in range(5)], None, []
    give_up(tenant="other")
    while True:
        page, cursor = ledger.deliveries.exhausted("acme", limit=2, cursor=cursor)
        found.append([known.delivery.id for known in page])
        if cursor is None:
            break
    newest = sorted(ids, reverse=True)
    assert found == [newest[:2], newest[2:4], newest[4:]]
    with pytest.raises(InvalidRequest):
        ledger.deliveries.exhausted("acme", cursor="dlv_[x")


def test_a_replayed_delivery_has_its_id_its_log_and_all_its_attempts(
    ledger: Ledger, give_up: Callable
):
    name = give_up()
    known = ledger.deliveries.replay("acme", name)
    assert (known.state, [line.outcome for line in known.attempts]) == (PENDING, ["exhausted"])
    assert known.next_at is not None
    assert exhausted(ledger) == []
    (claim,) = ledger.deliveries.claim(worker="d")
    assert (claim.delivery.id, claim.attempt) == (name, 1)
    assert record(ledger, claim, DELIVERED)
    known = ledger.deliveries.get("acme", name)
    assert known.state is DELIVERED
    assert [line.outcome for line in known.attempts] == ["exhausted", "delivered"]
    assert known.next_at is None


def test_what_was_delivered_can_be_told_again(ledger: Ledger, cancelled: Callable):
    cancelled(to(HOOK))
    (claim,) = ledger.deliveries.claim(worker="d")
    record(ledger, claim, DELIVERED)
    ledger.deliveries.replay("acme", claim.delivery.id)
    (again,) = ledger.deliveries.claim(worker="d")
    assert again.delivery == claim.delivery


def test_what_has_not_ended_is_not_replayed(ledger: Ledger, cancelled: Callable):
    job = cancelled(to(HOOK))
    (known,) = ledger.deliveries.list("acme", job.id)
    with pytest.raises(Conflict, match="pending"):
        ledger.deliveries.replay("acme", known.delivery.id)
    ledger.deliveries.claim(worker="d")
    with pytest.raises(Conflict, match="sending"):
        ledger.deliveries.replay("acme", known.delivery.id)


def test_another_tenants_delivery_is_not_there(ledger: Ledger, give_up: Callable):
    name = give_up()
    for call in (ledger.deliveries.get, ledger.deliveries.replay):
        with pytest.raises(NotFound):
            call("other", name)
    assert ledger.deliveries.replay_exhausted("other") == (0, None)
    assert exhausted(ledger) == [name]


def test_a_replay_waits_for_a_receiver_that_is_held(ledger: Ledger, cancelled: Callable):
    for _ in range(2):
        cancelled(to(HOOK))
    (first,) = ledger.deliveries.claim(worker="d")
    record(ledger, first, EXHAUSTED)
    (second,) = ledger.deliveries.claim(worker="d")
    ledger.deliveries.replay("acme", first.delivery.id)
    assert ledger.deliveries.next_due() is None
    assert ledger.deliveries.claim(worker="e") == []
    record(ledger, second, DELIVERED)
    (again,) = ledger.deliveries.claim(worker="e")
    assert again.delivery == first.delivery


def test_one_endpoints_deliveries_are_replayed_alone(ledger: Ledger, give_up: Callable):
    endpoint = ledger.endpoints.add("acme", EndpointRequest(url=HOOK))
    its, bare = give_up(Delivery(endpoint=endpoint.id)), give_up()
    assert ledger.deliveries.replay_exhausted("acme", endpoint=endpoint.id) == (1, None)
    assert exhausted(ledger) == [bare]
    assert ledger.deliveries.get("acme", its).state is PENDING


def test_ten_thousand_are_replayed_in_steps_that_keep_nobody_waiting(
    ledger: Ledger, give_up: Callable, raw: redis.Redis
):
    template, count = give_up(), 10_000
    fields = raw.hgetall(f"boxyard:acme:delivery:{template}")
    with raw.pipeline(transaction=False) as pipeline:
        for number in range(count - 1):
            name = f"dlv_{number:032x}"
            record = fields["record"].replace(template, name)
            pipeline.hset(f"boxyard:acme:delivery:{name}", mapping={**fields, "record": record})
            pipeline.zadd("boxyard:acme:exhausted", {f"acme/{name}": 0})
        pipeline.execute()
    raw.config_resetstat()
    replayed, cursor = ledger.deliveries.replay_exhausted("acme")
    calls = [replayed]
    while cursor:
        replayed, cursor = ledger.deliveries.replay_exhausted("acme", cursor=cursor)
        calls.append(replayed)
    assert calls == [1000] * 10 + [0]
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] >= 100
    assert raw.info("latencystats")["latency_percentiles_usec_evalsha"]["p50"] < 100_000
    assert exhausted(ledger) == []
    (receiver,) = raw.zrange("boxyard:receivers", 0, -1)
    assert raw.zcard(f"boxyard:receiver:{receiver}:pending") == count


def test_what_is_given_up_again_meanwhile_is_behind_the_cursor(
    ledger: Ledger, give_up: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("boxyard_ledger.deliveries._STEP", 1)
    monkeypatch.setattr("boxyard_ledger.deliveries._STEPS", 1)
    endpoint = ledger.endpoints.add("acme", EndpointRequest(url=HOOK))
    ids = sorted(give_up() for _ in range(3))
    assert ledger.deliveries.replay_exhausted("acme") == (1, ids[0])
    (claim,) = ledger.deliveries.claim(worker="d")
    record(ledger, claim, EXHAUSTED)
    assert ledger.deliveries.replay_exhausted("acme", endpoint=endpoint.id) == (0, ids[0])
    assert ledger.deliveries.replay_exhausted("acme", cursor=ids[0]) == (1, ids[1])
    assert ledger.deliveries.replay_exhausted("acme", cursor=ids[1]) == (1, ids[2])
    assert ledger.deliveries.replay_exhausted("acme", cursor=ids[2]) == (0, None)
    assert exhausted(ledger) == [ids[0]]


def test_an_index_that_names_what_is_gone_is_no_harm(
    ledger: Ledger, give_up: Callable, raw: redis.Redis
):
    name = give_up()
    raw.delete(f"boxyard:acme:delivery:{name}")
    assert exhausted(ledger) == []
    assert ledger.deliveries.replay_exhausted("acme") == (0, None)
