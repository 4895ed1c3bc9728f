"""Fault 47: receivers and image servers that answer without an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest

from boxyard_schemas import JobState, Scope
from chaos.callers import Caller, Source
from chaos.faults import fault
from chaos.history import History
from chaos.trial import Figures, Trial
from endless import ENDLESS, serving_apart
from pictures import png, scene
from process import await_true


def seconds(trial: Trial, count: int) -> tuple[float, float]:
    """What B waits for: the median seconds of a job, and of a callback from its submission."""
    picture, listener = trial.b.upload(png(scene())), trial.listeners[1]
    jobs, callbacks, came = list[float](), list[float](), len(listener.requests)
    for number in range(1, count + 1):
        start = time.monotonic()
        job = trial.b.submit(picture, delivery=trial.callback(trial.b))
        trial.b.insist("GET", f"/v1/jobs/{job}", params={"wait": 60})
        jobs.append(time.monotonic() - start)
        listener.wait(came + number)
        callbacks.append(time.monotonic() - start)
    return median(jobs), median(callbacks)


def add_tenant(trial: Trial) -> Caller:
    """A tenant whose callbacks are not judged: its servers do not read what they are sent."""
    ledger, name = trial.stack.ledger, f"hostile{trial.number}-{trial.seed:08x}"
    ledger.tenants.create(name)
    _, key = ledger.api_keys.create(name, name="chaos", scopes=[Scope.ADMIN])
    return Caller(name, lambda: trial.stack.url, key, History())


def await_over(caller: Caller, jobs: list[str]) -> None:
    """Until the jobs have ended and their callbacks too."""

    def over(job: str) -> bool:
        state = caller.insist("GET", f"/v1/jobs/{job}").json()["state"]
        deliveries = caller.insist("GET", f"/v1/jobs/{job}/deliveries").json()["deliveries"]
        ended = all(each["state"] in ("delivered", "exhausted") for each in deliveries)
        return ended and JobState(state).terminal

    await_true(lambda: all(map(over, jobs)), "the other tenant's jobs to be over")


@pytest.mark.parametrize("role", ["receivers", "image servers"])
@fault(47, "answers without an end")
def test_answers_without_an_end_delay_no_other_tenant(
    trial: Trial, figures: Figures, scale: Callable[..., int], role: str
) -> None:
    """another tenant's servers answer without an end, in all the ways; B's jobs are timed"""
    kinds = scale(slice=["100 Continue"], full=list(ENDLESS))
    count, times = scale(slice=16, full=64), scale(slice=3, full=5)
    hostile = add_tenant(trial)
    picture, alone, slowest = hostile.upload(png(scene())), seconds(trial, times), (0.0, 0.0)
    for kind in kinds:
        with serving_apart(kind, count) as (urls, relent):
            if role == "receivers":
                jobs = [
                    hostile.submit(picture, delivery={"callback": {"url": url}}) for url in urls
                ]
            else:
                jobs = [hostile.submit(Source({"url": f"{url}image.png"})) for url in urls]
            slowest = max(slowest, seconds(trial, times), key=max)
            relent()
            await_over(hostile, jobs)
    hostile.close()
    figures["servers"], figures["kinds"] = count, len(kinds)
    figures["B's job s, alone and beside them"] = [round(alone[0], 2), round(slowest[0], 2)]
    figures["B's callback s, alone and beside them"] = [round(alone[1], 2), round(slowest[1], 2)]
    assert slowest[0] < 5 * alone[0] + 1
    assert slowest[1] < 5 * alone[1] + 1
    trial.conclude(figures)
