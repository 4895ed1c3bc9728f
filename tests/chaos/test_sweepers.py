"""Fault 7: the sweeper dies, or two of them run."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos.faults import fault
from chaos.recovery import Recovery, percentile
from chaos.stack import await_ready
from chaos.trial import Figures, Trial
from process import Process

Scale = Callable[..., int]


@fault(7, "sweeper dies, or two run")
def test_a_killed_sweeper_leaves_nothing_half_done(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """kill -9 of the sweeper at random moments while workers die as well"""
    recovery, sweeper = Recovery(trial), trial.stack.sweeper
    with trial.load(per_s=30, slow=0.02):
        for _ in range(scale(slice=1, full=30)):
            _kill_a_worker(trial, recovery)
            for _ in range(3):
                time.sleep(trial.random.uniform(0, 1))
                sweeper.kill()
                sweeper.start()
    trial.conclude(figures)
    figures["recovery p99 s"] = percentile(recovery.seconds(), 0.99)


@fault(7, "sweeper dies, or two run")
def test_two_sweepers_do_everything_once(trial: Trial, figures: Figures, scale: Scale) -> None:
    """two sweepers at once while workers die: the second one's steps are no-ops"""
    stack, recovery = trial.stack, Recovery(trial)
    with stack.further(stack.sweep()) as second:
        before = _leases(stack.sweeper)
        with trial.load(per_s=30, slow=0.02, cancels=0, erases=0):
            for _ in range(scale(slice=1, full=20)):
                _kill_a_worker(trial, recovery)
        verdict = trial.conclude(figures)
        released = _leases(stack.sweeper) - before + _leases(second)
    figures["leases given back"] = released
    figures["recovery p99 s"] = percentile(recovery.seconds(), 0.99)
    assert released <= verdict.duplicate_runs, "each lease is given back by one of them alone"


def _kill_a_worker(trial: Trial, recovery: Recovery) -> None:
    worker = trial.random.choice(trial.stack.detectors)
    await_ready(worker)
    time.sleep(trial.random.uniform(0.5, 2))
    recovery.strike()
    worker.kill()
    worker.start()


def _leases(sweeper: Process) -> int:
    """How many leases that were over a sweeper says to have given back."""
    return sum(tick.get("leases", 0) for tick in sweeper.events("swept"))
