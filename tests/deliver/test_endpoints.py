"""Endpoints that are gone, disabled, or moved while deliveries wait for them."""

from collections.abc import Callable

import pytest

from boxyard_ledger import DeliveryState
from boxyard_schemas import EndpointChange, EndpointCreated, EndpointRequest
from receivers import Receiver, say

from .conftest import Yard


@pytest.fixture
def endpoint_of(yard: Yard) -> Callable[[Receiver], EndpointCreated]:
    return lambda receiver: yard.ledger.endpoints.add("acme", EndpointRequest(url=receiver.url))


def enable(yard: Yard, endpoint: EndpointCreated) -> None:
    yard.ledger.endpoints.change("acme", endpoint.id, EndpointChange(disabled=False))


def test_a_receiver_that_says_gone_disables_its_endpoint_and_hears_no_more(
    yard: Yard, endpoint_of: Callable
) -> None:
    with Receiver(say(410), say(200)) as receiver:
        endpoint = endpoint_of(receiver)
        jobs = [yard.end_job(endpoint=endpoint.id) for _ in range(5)]
        with yard.delivering():
            outcomes = [yard.ended(job).attempts[0].outcome for job in jobs]
            jobs.append(yard.end_job(endpoint=endpoint.id))
            assert yard.ended(jobs[-1]).attempts[0].outcome == "endpoint-disabled"
            assert sorted(outcomes) == ["endpoint-disabled"] * 4 + ["status-410"]
            assert len(receiver.requests) == 1
            known = yard.ledger.endpoints.get("acme", endpoint.id)
            assert known.disabled_at is not None
            assert "410" in (known.disabled_reason or "")
            enable(yard, endpoint)
            replayed = yard.ledger.deliveries.replay_exhausted("acme", endpoint=endpoint.id)
            assert replayed == (6, None)
            for job in jobs:
                assert yard.ended(job).state is DeliveryState.DELIVERED
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert (len(ids), len(set(ids))) == (7, 6)


def test_gone_for_one_bare_url_is_about_that_delivery_alone(yard: Yard) -> None:
    with Receiver(say(410), say(200)) as receiver, yard.delivering():
        states = [yard.ended(yard.end_job(callback={"url": receiver.url})).state for _ in range(2)]
    assert states == [DeliveryState.EXHAUSTED, DeliveryState.DELIVERED]


def test_what_waits_for_an_endpoint_that_its_owner_disabled_is_given_up_unsent(
    yard: Yard, endpoint_of: Callable
) -> None:
    with Receiver() as receiver:
        endpoint = endpoint_of(receiver)
        job = yard.end_job(endpoint=endpoint.id)
        yard.ledger.endpoints.change("acme", endpoint.id, EndpointChange(disabled=True))
        with yard.delivering():
            status = yard.ended(job)
    assert (status.state, receiver.requests) == (DeliveryState.EXHAUSTED, [])
    assert status.attempts[0].outcome == "endpoint-disabled"


def test_what_waits_for_an_endpoint_that_was_removed_is_given_up_unsent(
    yard: Yard, endpoint_of: Callable
) -> None:
    with Receiver() as receiver:
        endpoint = endpoint_of(receiver)
        job = yard.end_job(endpoint=endpoint.id)
        yard.ledger.endpoints.remove("acme", endpoint.id)
        with yard.delivering():
            status = yard.ended(job)
    assert (status.state, receiver.requests) == (DeliveryState.EXHAUSTED, [])
    assert status.attempts[0].outcome == "endpoint-gone"


def test_what_waits_for_an_endpoint_that_moved_goes_where_it_is_now(
    yard: Yard, endpoint_of: Callable
) -> None:
    with Receiver() as old, Receiver() as new:
        endpoint = endpoint_of(old)
        job = yard.end_job(endpoint=endpoint.id)
        moved = EndpointChange.model_validate({"url": new.url})
        yard.ledger.endpoints.change("acme", endpoint.id, moved)
        with yard.delivering():
            assert yard.ended(job).state is DeliveryState.DELIVERED
    assert (len(old.requests), len(new.requests)) == (0, 1)
