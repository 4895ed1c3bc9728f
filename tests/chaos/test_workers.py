"""Faults 1 to 3, 8 and 9: workers die, sleep and are replaced."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from boxyard_ledger import keys
from boxyard_schemas import JobState, detect_queue
from boxyard_worker.detector.standin import Trouble
from chaos.callers import Source
from chaos.faults import fault
from chaos.recovery import Recovery, percentile
from chaos.stack import MODEL, await_ready
from chaos.trial import Figures, Trial
from pictures import png, scene, trouble
from process import PATIENCE_S, Process, await_true

Scale = Callable[..., int]


@fault(1, "worker crash")
def test_workers_killed_at_random_moments_lose_nothing(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """kill -9 of one of two workers at random moments under load; a new one takes its place"""
    recovery, kills = Recovery(trial), scale(slice=2, full=100)
    # No more load than one worker can bear, or the figure would be that of the queue.
    with trial.load(per_s=30, slow=0.02):
        for _ in range(kills):
            worker = trial.random.choice(trial.stack.detectors)
            await_ready(worker)
            time.sleep(trial.random.uniform(0, 2))
            recovery.strike()
            worker.kill()
            worker.start()
    trial.conclude(figures)
    figures |= {"kills": kills, "recovery p99 s": percentile(recovery.seconds(), 0.99)}


@fault(2, "pop window")
def test_a_bell_that_dies_with_an_idle_worker_is_rung_again(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGSTOP of an idle worker, to which Redis delivers the only wake-up message; then kill -9"""
    frozen, spare = trial.stack.detectors
    picture, took = trial.a.upload(png(scene())), list[float]()
    for _ in range(scale(slice=2, full=30)):
        job = _submit_to(frozen, spare, trial, picture)
        frozen.kill()
        killed = time.time()
        trial.stack.sweeper.thaw()
        took.append(_end(trial, job) - killed)
        frozen.start()
        await_ready(frozen)
    trial.conclude(figures)
    figures |= {"kills": len(took), "recovery p99 s": percentile(took, 0.99)}


def _submit_to(frozen: Process, spare: Process, trial: Trial, picture: Source) -> str:
    """A job whose bell is in the frozen worker's hands, and nobody rings again yet."""
    client = trial.stack.client
    trial.stack.sweeper.freeze()
    spare.freeze()
    while True:
        # Each waits for a bell for a second at a time; a frozen one soon waits no more.
        frozen.freeze()
        await_true(lambda: _listeners(client) == 0, "nobody to wait for a bell")
        frozen.thaw()
        await_true(lambda: _listeners(client) == 1, "the worker to wait for a bell", frozen.tail)
        frozen.freeze()
        rung = _pushes(client)
        job = trial.a.submit(picture)
        await_true(lambda rung=rung: _pushes(client) > rung, "a bell", trial.logs)
        if not client.llen(detect_queue(MODEL)):
            assert trial.stack.ledger.jobs.get(trial.a.tenant, job).state == JobState.QUEUED
            spare.thaw()
            return job


def _listeners(client: Any) -> int:
    """How many connections wait for a bell."""
    return sum(each["cmd"] == "brpop" and "b" in each["flags"] for each in client.client_list())


def _pushes(client: Any) -> int:
    """How many times anything was put into a queue so far."""
    return int(client.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))


@fault(3, "zombie worker")
def test_a_worker_that_wakes_after_its_lease_changes_nothing(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGSTOP of a worker with jobs in hand for longer than its lease, then SIGCONT"""
    refused = 0
    for _ in range(scale(slice=1, full=10)):
        refused += _sleep_over_the_lease(trial, trial.random.choice(trial.stack.detectors))
    trial.conclude(figures)
    figures["stale writes refused"] = refused
    assert refused, "no worker had anything to write when it woke up"


def _sleep_over_the_lease(trial: Trial, worker: Process) -> int:
    """How many jobs the worker then found to be no longer its own."""
    dropped = len(worker.events("job.ended", how="dropped"))
    (other,) = (each for each in trial.stack.detectors if each is not worker)
    other.freeze()
    jobs = _freeze_at_work(trial, worker)
    other.thaw()
    for job in jobs:
        _end(trial, job)
    worker.thaw()

    def stale() -> int:
        return len(worker.events("job.ended", how="dropped")) - dropped

    await_true(lambda: stale() == len(jobs), "the zombie to be refused", worker.tail)
    return stale()


def _freeze_at_work(trial: Trial, worker: Process) -> list[str]:
    """Two jobs that a worker has in its hands when it falls asleep."""
    slow = trial.a.upload(png(trouble(Trouble.SLOW)))
    while True:
        jobs = [trial.a.submit(slow, slow) for _ in range(2)]
        await_true(lambda: not _queued(trial), "the worker to take both jobs", worker.tail)
        worker.freeze()
        if {job.job.id for job in trial.running()} == {*jobs}:
            return jobs
        worker.thaw()  # one was done before it was met
        for job in jobs:
            _end(trial, job)


def _queued(trial: Trial) -> int:
    return int(trial.stack.client.zcard(keys.listed(trial.a.tenant, JobState.QUEUED)))


@fault(8, "deploy")
def test_a_deploy_under_load_hands_everything_over(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGTERM under load to every process, one after the other, and a new one in its place"""
    stack, drains = trial.stack, list[float]()
    with trial.load(per_s=60, slow=0.03):
        for _ in range(scale(slice=1, full=10)):
            for part in (*stack.detectors, stack.deliverer, stack.sweeper, stack.server):
                time.sleep(trial.random.uniform(0.2, 0.8))
                drains.append(_replace(part))
                stack.mend()
    verdict = trial.conclude(figures)
    figures |= {"drain p99 s": percentile(drains, 0.99), "drains": len(drains)}
    assert verdict.duplicate_runs == 0, "what is handed back in peace is no attempt"


@fault(9, "impatient deploy")
def test_an_impatient_deploy_under_load_loses_nothing(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGQUIT, or SIGTERM twice, to workers under load"""
    drains = []
    with trial.load(per_s=60, slow=0.03):
        for round_ in range(scale(slice=2, full=20)):
            time.sleep(trial.random.uniform(0.2, 0.8))
            signals = ((signal.SIGQUIT,), (signal.SIGTERM, signal.SIGTERM))[round_ % 2]
            drains.append(_replace(trial.random.choice(trial.stack.detectors), *signals))
            trial.stack.mend()
    trial.conclude(figures)
    figures |= {"drain p99 s": percentile(drains, 0.99), "drains": len(drains)}


def _replace(part: Process, *signals: signal.Signals) -> float:
    """How long a process took to end well, in seconds; then it is started again."""
    begun = time.monotonic()
    for number in signals or (signal.SIGTERM,):
        part.send(number)
        time.sleep(0.05 if len(signals) > 1 else 0)
    assert part.process.wait(PATIENCE_S) == 0, part.tail()
    took = time.monotonic() - begun
    part.start()
    return took


def _end(trial: Trial, job: str) -> float:
    """When a job of tenant A ended, in seconds since 1970, once it has."""
    ledger = trial.stack.ledger
    await_true(lambda: ledger.jobs.get(trial.a.tenant, job).state.terminal, f"{job} to end")
    finished = ledger.jobs.get(trial.a.tenant, job).finished_at
    assert finished is not None
    return finished.timestamp()
