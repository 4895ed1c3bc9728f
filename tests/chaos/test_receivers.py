"""Faults 25 to 28: receivers that are down, refuse, drip, or lose the answer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from chaos.faults import fault
from chaos.listener import Listener
from chaos.reading import attempts_of, delivery_of
from chaos.stack import Stack
from chaos.trial import Figures, Trial
from pictures import png, scene
from ports import hold_port
from process import await_true
from receivers import Answer, Received, drip, reset, say

PAUSES_S = (0.2, 0.5, 1, 1, 2, 2, 3, 3, 5, 5, 5, 5)
"""The shared stack's schedule, which jitter shortens by a tenth at most."""


@contextmanager
def listening(
    trial: Trial, *answers: Answer, port: int = 0, secret: str = ""
) -> Iterator[Listener]:
    """One more receiver of A's."""
    good = [secret] if secret else trial.stack.ledger.tenants.webhook_secrets(trial.a.tenant)
    listener = Listener(trial.a.tenant, lambda: good, trial.history, *answers, port=port)
    yield listener
    listener.close()


def submit(trial: Trial, url: str) -> str:
    """A job of A's whose end is called back to `url`."""
    delivery = {"callback": {"url": url}}
    return trial.a.submit(trial.a.upload(png(scene())), delivery=delivery)


def pauses(delivery: dict[str, Any]) -> list[float]:
    """Seconds between the attempts."""
    moments = [datetime.fromisoformat(each["at"]) for each in delivery["attempts"]]
    return [(after - before).total_seconds() for before, after in itertools.pairwise(moments)]


def assert_one_id(requests: list[Received]) -> None:
    assert len({request.headers["webhook-id"] for request in requests}) == 1


@fault(25, "receiver down")
def test_a_receiver_that_is_down_is_tried_by_the_schedule_until_it_is_up(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """a closed port for several attempts; then the receiver listens"""
    attempts, port = scale(slice=4, full=11), hold_port()
    job = submit(trial, f"http://127.0.0.1:{port}/")
    await_true(lambda: len(attempts_of(trial.a, job)) >= attempts, "the attempts")
    with listening(trial, port=port):
        trial.conclude(figures)
    delivery = delivery_of(trial.a, job)
    assert delivery["state"] == "delivered"
    assert attempts_of(trial.a, job)[:attempts] == ["post-failed"] * attempts
    for pause, planned in zip(pauses(delivery), PAUSES_S, strict=False):
        assert pause >= planned * 0.9
    figures["attempts"] = len(delivery["attempts"])


@fault(26, "receiver 500, 503, 429")
def test_a_receiver_that_refuses_is_told_later_and_not_before_it_asks_to_be(
    stack: Stack, figures: Figures
) -> None:
    """a receiver that answers 500, 503, 429 with Retry-After: 3, and then 200"""
    refusals = (say(500), say(503), say(429, Retry_After="3"))
    with Trial(stack, *refusals, say(200)) as trial:
        trial.a.submit(trial.a.upload(png(scene())), delivery=trial.callback(trial.a))
        trial.conclude(figures)
        requests = trial.listeners[0].requests
    assert len(requests) == 4
    assert_one_id(requests)
    waited = [after.at - before.at for before, after in itertools.pairwise(requests)]
    assert all(w >= least for w, least in zip(waited, (0.18, 0.45, 3), strict=True)), waited
    figures["attempts"] = len(requests)
    figures["waited for Retry-After: 3 s"] = round(waited[-1], 1)


@fault(26, "receiver 410")
def test_an_endpoint_that_is_gone_is_disabled_and_catches_up_when_it_is_enabled(
    trial: Trial, figures: Figures
) -> None:
    """an endpoint that answers 410, two jobs, and the endpoint enabled again"""
    port = hold_port()
    made = trial.a.insist("POST", "/v1/endpoints", json={"url": f"http://127.0.0.1:{port}/"})
    path, secret = f"/v1/endpoints/{made.json()['id']}", made.json()["secret"]
    picture, delivery = trial.a.upload(png(scene())), {"endpoint": made.json()["id"]}
    with listening(trial, say(410), say(200), port=port, secret=secret) as listener:
        jobs = []
        for _ in range(2):
            jobs.append(trial.a.submit(picture, delivery=delivery))
            trial.settle()
        endpoint = trial.a.insist("GET", path)
        assert endpoint.json()["disabled_at"]
        assert len(listener.requests) == 1
        assert [delivery_of(trial.a, job)["state"] for job in jobs] == ["exhausted"] * 2
        trial.a.insist("PATCH", path, json={"disabled": False})
        replayed = trial.a.insist("POST", "/v1/deliveries/replay", json=delivery)
        assert replayed.json()["replayed"] == 2
        trial.conclude(figures)
    assert [delivery_of(trial.a, job)["state"] for job in jobs] == ["delivered"] * 2
    figures["requests while disabled"] = 0


@fault(27, "slow drip")
def test_dripping_receivers_end_at_the_deadline_and_delay_nobody(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """A's receivers drip a byte at a time for ever; B is called back meanwhile"""
    count = scale(slice=8, full=100)
    with ExitStack() as stack:
        drips = [stack.enter_context(listening(trial, drip, drip, say(200))) for _ in range(count)]
        with patient_deliverer(trial.stack):
            for listener in drips:
                submit(trial, listener.url)
            for listener in drips:
                listener.wait(1)
            waits = call_back_b(trial)
            assert [len(listener.requests) for listener in drips] == [1] * count, "B had to wait"
        trial.conclude(figures)
    longest = max(third.at - second.at for _, second, third in (each.requests for each in drips))
    figures["dripping receivers"] = count
    figures["B's longest wait s"] = round(max(waits), 1)
    figures["A's longest attempt and pause s"] = round(longest, 1)
    assert 5 <= longest < 5 + 10  # the deadline, a pause of the schedule, and a slow machine


@contextmanager
def patient_deliverer(stack: Stack) -> Iterator[None]:
    """Meanwhile one delivers that gives up no attempt; then it is killed, and the other is back."""
    other = stack.deliverer
    other.stop()
    with stack.further(stack.deliver(delivery_deadline_s=600, delivery_lease_s=3)):
        yield
    other.start()


def call_back_b(trial: Trial) -> list[float]:
    """Five of B's callbacks, one after the other; how long each took, in seconds."""
    b, waits = trial.b, list[float]()
    theirs = b.upload(png(scene()))
    for number in range(1, 6):
        start = time.monotonic()
        b.submit(theirs, delivery=trial.callback(b))
        trial.listeners[1].wait(number)
        waits.append(time.monotonic() - start)
    return waits


@fault(28, "answer lost after the receiver's 200")
def test_a_receiver_whose_answer_was_lost_is_told_again_with_the_same_id(
    stack: Stack, figures: Figures
) -> None:
    """the connection is reset when the receiver has read the event"""
    with Trial(stack, reset, reset, say(200)) as trial:
        job = trial.a.submit(trial.a.upload(png(scene())), delivery=trial.callback(trial.a))
        trial.conclude(figures)
        requests = trial.listeners[0].requests
        assert attempts_of(trial.a, job) == ["post-failed", "post-failed", "delivered"]
    assert_one_id(requests)
    assert len({request.body for request in requests}) == 1
    figures["told"] = len(requests)
