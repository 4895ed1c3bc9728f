"""Fault 44: Redis is emptied."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from chaos.faults import fault
from chaos.trial import Figures, Trial
from process import await_true


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
