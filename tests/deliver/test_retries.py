"""What happens when a receiver does not take it: faults 25 to 29."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from boxyard_ledger import DeliveryState, Ledger
from boxyard_worker.deliver import DeliverSettings
from boxyard_worker.deliver.schedule import Schedule
from boxyard_worker.egress import read_retry_after
from ports import hold_port
from receivers import Canary, Receiver, drip, reset, say

from .conftest import Yard

DATES = st.datetimes(timezones=st.just(UTC)).map(format_datetime) | st.from_regex(
    r"\A[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,20} \d\d:\d\d:\d\d [+-]\d{4,20}\Z"
)


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
    port = hold_port()
    with yard.delivering(delivery_schedule_s=(0.3,) * 50):
        job = yard.end_job(callback={"url": f"http://127.0.0.1:{port}/"})
        yard.until(job, lambda status: len(status.attempts) > 0)
        with Receiver(port=port):
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
        stuck = [yard.end_job(callback={"url": slow.url}) for _ in range(2)]
        with yard.delivering(delivery_deadline_s=5, delivery_schedule_s=()):
            slow.wait(1)
            told = yard.ended(yard.end_job(callback={"url": quick.url}))
            given_up = [yard.ended(job) for job in stuck]
    assert told.state is DeliveryState.DELIVERED
    for status in given_up:
        assert status.state is DeliveryState.EXHAUSTED
        assert [line.outcome for line in status.attempts] == ["post-failed"]
        assert told.attempts[0].at < status.attempts[0].at, "it waited for the slow one"


def test_many_deliveries_to_one_receiver_come_once_each(yard: Yard) -> None:
    with Receiver() as receiver, yard.delivering(), yard.delivering():
        jobs = [yard.end_job(callback={"url": receiver.url}) for _ in range(30)]
        for job in jobs:
            assert yard.ended(job).state is DeliveryState.DELIVERED
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 30


def test_the_schedule_is_ten_attempts_over_three_days() -> None:
    pauses = DeliverSettings().delivery_schedule_s
    assert len(pauses) == 9
    assert timedelta(days=3) < timedelta(seconds=sum(pauses)) < timedelta(days=3, hours=4)
    assert list(pauses) == sorted(pauses)


SECONDS = st.floats(0.01, 1e6)


@given(
    pauses=st.lists(SECONDS, max_size=12),
    jitter=st.floats(0, 0.9),
    cap=SECONDS,
    wish=st.none() | st.floats(0, 1e300) | st.just(inf),
    attempt=st.integers(1, 14),
)
def test_a_pause_is_the_schedules_within_its_jitter_or_what_was_asked_up_to_the_cap(
    *, pauses: list[float], jitter: float, cap: float, wish: float | None, attempt: int
) -> None:
    pause = Schedule(pauses, jitter, cap).pause_s(attempt, wish)
    if attempt > len(pauses):
        assert pause is None
        return
    asked, planned = min(wish or 0, cap), pauses[attempt - 1]
    assert pause is not None
    assert max(planned * (1 - jitter), asked) * 0.999 <= pause
    assert pause <= max(planned * (1 + jitter), asked) * 1.001


def test_pauses_vary_so_that_a_receiver_is_not_flooded_when_it_returns() -> None:
    schedule = Schedule((100,), 0.1, 3600)
    pauses = [schedule.pause_s(1) or 0 for _ in range(200)]
    assert min(pauses) < 95
    assert max(pauses) > 105


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sat, 21 Nov 2026 13:00:30 +0100", 30),
        ("Sat, 21 Nov 2026 12:00:30 -0000", None),
        ("Sat, 21 Nov 2026 12:00:30 +99999999999999999999", None),
        ("Sat, 21 Nov 99999999999999999999 12:00:30 GMT", None),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert read_retry_after({"retry-after": value}, now) == seconds


@given(st.text(st.characters(max_codepoint=255)) | st.integers(0, 10**400).map(str) | DATES)
def test_no_header_of_a_receiver_is_too_odd(value: str) -> None:
    seconds = read_retry_after({"retry-after": value}, datetime.now(UTC))
    assert seconds is None or seconds >= 0


def test_a_receiver_that_asks_to_wait_is_left_alone_by_its_other_deliveries_too(
    yard: Yard,
) -> None:
    with Receiver(say(503, Retry_After="2"), say(200)) as receiver, yard.delivering():
        jobs = [yard.end_job(callback={"url": receiver.url}) for _ in range(4)]
        for job in jobs:
            assert yard.ended(job).state is DeliveryState.DELIVERED
    first, *others = receiver.requests
    assert len(others) == 4
    assert all(other.at - first.at >= 1.9 for other in others)


def test_a_rest_that_is_asked_for_ends_by_the_cap(yard: Yard) -> None:
    settings = {"max_rest_s": 0.5, "max_retry_after_s": 1}
    with Receiver(say(429, Retry_After="86400"), say(200)) as receiver:
        jobs = [yard.end_job(callback={"url": receiver.url}) for _ in range(2)]
        with yard.delivering(**settings):
            for job in jobs:
                yard.ended(job)
    first, second, third = receiver.requests
    assert second.at - first.at >= 0.45
    assert third.at - first.at >= 0.95


def test_trouble_of_our_own_costs_a_receiver_none_of_its_attempts(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boxyard_worker.deliver.courier._OURS_PAUSE_S", 0.1)
    with Receiver() as receiver:
        job = yard.end_job(callback={"url": receiver.url})
        away = (tmp_path / "blobs").rename(tmp_path / "away")
        with yard.delivering(delivery_schedule_s=()):
            yard.until(job, lambda status: len(status.attempts) > 3)
            away.rename(tmp_path / "blobs")
            status = yard.ended(job)
    assert status.state is DeliveryState.DELIVERED
    assert {line.outcome for line in status.attempts[:-1]} == {"unavailable"}
    assert len(receiver.requests) == 1


def test_a_key_that_is_missing_is_the_operators_to_mend_and_costs_no_attempt(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boxyard_worker.deliver.courier._OURS_PAUSE_S", 0.1)
    key = SecretStr(Fernet.generate_key().decode())
    settings = yard.settings.model_copy(update={"secret_keys": (key,), "delivery_schedule_s": ()})
    with Ledger.open(settings) as keyless, Receiver() as receiver:
        job = yard.cancel_job(callback={"url": receiver.url})
        with Yard(keyless, settings).delivering():
            yard.until(job, lambda status: len(status.attempts) > 2)
        with yard.delivering(delivery_schedule_s=()):
            status = yard.ended(job)
    assert status.state is DeliveryState.DELIVERED
    assert {line.outcome for line in status.attempts[:-1]} == {"setup-error"}
    assert len(receiver.requests) == 1
