"""What a receiver gets, told by the official library."""

from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from boxyard_ledger import DeliveryState
from boxyard_schemas import (
    MAX_EVENT_BYTES,
    EndpointRequest,
    Event,
    EventType,
    JobResult,
    JobState,
)
from receivers import Received, Receiver

from .conftest import SECRET, Yard


def verified(request: Received, secret: str = SECRET) -> Event:
    Webhook(secret).verify(request.body, request.headers)
    return Event.model_validate_json(request.body)


def test_a_finished_job_arrives_signed_with_its_result(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering():
        job = yard.end_job(callback={"url": f"{receiver.url}/hook?a=1"})
        status = yard.ended(job)
    (request,) = receiver.requests
    event = verified(request)
    assert (event.type, event.data.job.id) == (EventType.SUCCEEDED, job)
    assert (event.data.job.state, event.data.job.metadata) == (JobState.SUCCEEDED, {"order": "7"})
    assert event.data.result == JobResult.model_validate_json(yard.result(job))
    assert event.data.result_url == f"https://yard.test/v1/jobs/{job}/result"
    assert request.path == "/hook?a=1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == status.delivery.id
    assert [line.outcome for line in status.attempts] == ["delivered"]


def test_a_large_result_is_left_to_its_link(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering():
        job = yard.end_job(callback={"url": receiver.url}, boxes=500)
        yard.ended(job)
    event = verified(receiver.requests[0])
    assert len(receiver.requests[0].body) < MAX_EVENT_BYTES < len(yard.result(job))
    assert event.data.result is None
    assert event.data.result_url == f"https://yard.test/v1/jobs/{job}/result"


def test_a_result_that_fits_alone_but_not_in_its_event_is_left_out(yard: Yard) -> None:
    boxes = 1
    while len(yard.result(job := yard.end_job(boxes=boxes))) < MAX_EVENT_BYTES - 400:
        boxes += 1 if boxes > 190 else 10
    assert len(yard.result(job)) < MAX_EVENT_BYTES
    with Receiver() as receiver, yard.delivering():
        yard.ended(yard.end_job(callback={"url": receiver.url}, boxes=boxes))
    assert verified(receiver.requests[0]).data.result is None


def test_a_failed_job_is_told_too(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering():
        yard.ended(yard.end_job(callback={"url": receiver.url}, succeeded=False))
    assert verified(receiver.requests[0]).type is EventType.FAILED


def test_a_cancelled_job_is_told_without_a_result(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering():
        job = yard.queue_job(callback={"url": receiver.url})
        yard.ledger.jobs.cancel("acme", job)
        yard.ended(job)
    event = verified(receiver.requests[0])
    assert event.type is EventType.CANCELLED
    assert (event.data.result, event.data.result_url) == (None, None)


def test_an_endpoint_signs_with_its_own_secret(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering():
        endpoint = yard.ledger.endpoints.add("acme", EndpointRequest(url=receiver.url))
        yard.ended(yard.end_job(endpoint=endpoint.id))
    verified(receiver.requests[0], endpoint.secret)
    with pytest.raises(WebhookVerificationError):
        verified(receiver.requests[0], SECRET)


def test_a_delivery_whose_endpoint_was_removed_ends_as_exhausted(yard: Yard) -> None:
    with Receiver() as receiver:
        endpoint = yard.ledger.endpoints.add("acme", EndpointRequest(url=receiver.url))
        job = yard.end_job(endpoint=endpoint.id)
        yard.ledger.endpoints.remove("acme", endpoint.id)
        with yard.delivering():
            status = yard.ended(job)
    assert (status.state, receiver.requests) == (DeliveryState.EXHAUSTED, [])


def test_a_result_that_was_tampered_with_is_never_told(yard: Yard, tmp_path: Path) -> None:
    with Receiver() as receiver:
        job = yard.end_job(callback={"url": receiver.url})
        reference = yard.ledger.jobs.get("acme", job).result
        assert reference
        yard.ledger.blobs.put(reference.key, yard.result(job).replace(b"can", b"car"))
        with yard.delivering():
            status = yard.ended(job)
    assert status.state is DeliveryState.EXHAUSTED
    assert status.attempts[0].outcome == "result-damaged"
    assert receiver.requests == []


def test_a_callback_inside_is_refused_when_no_setting_allows_it(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering(allowed_networks=()):
        status = yard.ended(yard.end_job(callback={"url": receiver.url}))
    assert (status.state, receiver.requests) == (DeliveryState.EXHAUSTED, [])
    assert status.attempts[0].outcome == "address-denied"
