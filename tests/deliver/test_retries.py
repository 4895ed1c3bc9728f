"""What happens when a receiver does not take it: faults 25 to 29."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from boxyard_ledger import DeliveryState
from boxyard_worker.deliver import DeliverSettings
from boxyard_worker.deliver.channels import read_retry_after
from boxyard_worker.deliver.schedule import Schedule
from receivers import Canary, Receiver, drip, reset, say

from .conftest import Yard


def test_a_receiver_in_trouble_is_told_again_with_the_same_id_and_body(yard: Yard) -> None:
    with Receiver(say(500), say(404), say(204)) as receiver, yard.delivering():
        status = yard.ended(yard.end_job(callback={"url": receiver.url}))
    outcomes = [line.outcome for line in status.attempts]
    assert outcomes == ["status-500", "status-404", "delivered"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1


def test_an_answer_that_is_lost_after_the_receiver_took_it_means_once_more(yard: Yard) -> None:
    with Receiver(reset, say(200)) as receiver, yard.delivering():
        status = yard.ended(yard.end_job(callback={"url": receiver.url}))
    assert status.state is DeliveryState.DELIVERED
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_a_receiver_that_is_down_gets_it_when_it_is_up(yard: Yard) -> None:
    with Receiver() as receiver:
        port = receiver.port
    with yard.delivering(delivery_schedule_s=(0.3,) * 50):
        job = yard.end_job(callback={"url": f"http://127.0.0.1:{port}/"})
        yard.until(job, lambda status: len(status.attempts) > 0)
        with Receiver(port=port) as receiver:
            status = yard.ended(job)
    assert status.attempts[0].outcome == "post-failed"
    assert status.attempts[-1].outcome == "delivered"


def test_the_last_attempt_ends_as_exhausted(yard: Yard) -> None:
    with Receiver(say(500)) as receiver, yard.delivering():
        status = yard.ended(yard.end_job(callback={"url": receiver.url}))
    assert (status.state, len(receiver.requests)) == (DeliveryState.EXHAUSTED, 3)


def test_a_receiver_that_is_gone_is_asked_once(yard: Yard) -> None:
    with Receiver(say(410)) as receiver, yard.delivering():
        status = yard.ended(yard.end_job(callback={"url": receiver.url}))
    assert (status.state, len(receiver.requests)) == (DeliveryState.EXHAUSTED, 1)
    assert status.attempts[0].outcome == "status-410"


@pytest.mark.parametrize("code", [429, 503])
def test_a_receiver_that_asks_to_wait_is_left_alone_so_long(yard: Yard, code: int) -> None:
    with Receiver(say(code, Retry_After="1"), say(200)) as receiver, yard.delivering():
        yard.ended(yard.end_job(callback={"url": receiver.url}))
    first, second = receiver.requests
    assert second.at - first.at >= 0.95


def test_a_redirect_is_a_failure_and_nobody_is_called_there(yard: Yard) -> None:
    canary = Canary()
    there = f"http://127.0.0.1:{canary.port}/"
    answers = (say(307, Location=there), say(302, Location=there))
    with Receiver(*answers) as receiver, yard.delivering():
        status = yard.ended(yard.end_job(callback={"url": receiver.url}))
    assert status.state is DeliveryState.EXHAUSTED
    assert status.attempts[0].outcome == "status-307"
    assert canary.sings()
    canary.close()


def test_a_slow_receiver_is_cut_off_and_delays_nobody(yard: Yard) -> None:
    with Receiver(drip) as slow, Receiver() as quick:
        stuck = [yard.end_job(callback={"url": slow.url}) for _ in range(3)]
        with yard.delivering(delivery_deadline_s=3, delivery_schedule_s=()):
            slow.wait(3)
            began = time.monotonic()
            yard.ended(yard.end_job(callback={"url": quick.url}))
            assert time.monotonic() - began < 2
            for job in stuck:
                status = yard.ended(job)
                assert status.state is DeliveryState.EXHAUSTED
                assert status.attempts[0].outcome == "post-failed"


def test_many_deliveries_to_one_receiver_come_once_each(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering(), yard.delivering():
        jobs = [yard.end_job(callback={"url": receiver.url}) for _ in range(30)]
        for job in jobs:
            assert yard.ended(job).state is DeliveryState.DELIVERED
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 30


def test_the_schedule_is_ten_attempts_over_three_days() -> None:
    settings = DeliverSettings()
    now = datetime.now(UTC)
    schedule = Schedule(settings.delivery_schedule_s, settings.delivery_jitter, 3600)
    moments = [schedule.next_at(attempt, now) for attempt in range(1, 11)]
    assert moments[-1] is None
    pauses = [moment - now for moment in moments if moment]
    assert len(pauses) == 9
    assert timedelta(days=2.5) < sum(pauses, timedelta()) < timedelta(days=3.6)
    assert schedule.next_at(1, now) != schedule.next_at(1, now)


def test_a_receivers_wish_to_wait_is_bounded() -> None:
    now = datetime.now(UTC)
    schedule = Schedule((5,), 0, 3600)
    assert schedule.next_at(1, now, 86_400) == now + timedelta(hours=1)
    assert schedule.next_at(1, now, 1) == now + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert read_retry_after({"retry-after": value}, now) == seconds
