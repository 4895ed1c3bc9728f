"""Faults 1 to 5 and 8, 9: workers die, sleep, and are replaced."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos.faults import fault
from chaos.trial import Figures, Trial


@fault(1, "worker crash")
def test_workers_killed_at_random_moments_lose_nothing(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """kill -9 of a worker at random moments under load, and a new one in its place"""
    with trial.load(per_s=40):
        for _ in range(scale(slice=3, full=100)):
            time.sleep(trial.random.uniform(0.2, 1))
            worker = trial.random.choice(trial.stack.detectors)
            worker.kill()
            worker.start()
    trial.conclude(figures)
    print(figures)
