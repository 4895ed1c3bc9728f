"""Faults 43 and 44: Redis loads its file for long, and Redis is emptied."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from boxyard_ledger import EmbeddedRedis
from chaos.faults import fault
from chaos.history import Refused
from chaos.trial import Figures, Trial
from process import await_true

_KEY_DELAY_US = 4000


@fault(43, "Redis loads for long")
def test_a_redis_that_loads_for_long_is_waited_for(
    trial: Trial,
    figures: Figures,
    scale: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kill -9 of Redis under load, and a start that takes milliseconds for every key"""
    options = EmbeddedRedis._options
    slow = ["--key-load-delay", str(_KEY_DELAY_US)]
    slow += ["--loading-process-events-interval-bytes", "1024"]
    monkeypatch.setattr(EmbeddedRedis, "_options", lambda self: [*options(self), *slow])
    monkeypatch.setattr("boxyard_ledger.embedded._START_S", 2.0)
    with trial.load(per_s=40, threads=2):
        time.sleep(scale(slice=3, full=120))
        trial.stack.redis.kill()
        began = time.monotonic()
        trial.stack.redis.start()
        figures["loading s"] = round(time.monotonic() - began, 1)
    trial.conclude(figures)
    assert {refused.status for refused in trial.history.of(Refused)} <= {503}


@fault(44, "Redis emptied")
def test_processes_of_a_redis_that_was_emptied_serve_new_jobs(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """FLUSHALL under running processes; new tenants' jobs are taken without a restart"""
    trial.stack.client.flushall()
    with Trial(trial.stack) as after:
        url = f"{trial.stack.url}/readyz"
        await_true(lambda: httpx.get(url, timeout=30).is_success, "a server that is ready again")
        with after.load(per_s=20, threads=2):
            time.sleep(scale(slice=2, full=30))
        after.conclude(figures)
