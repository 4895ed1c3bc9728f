"""Fault 36: strangers put messages into a model's queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from boxyard_schemas import detect_queue
from chaos.faults import fault
from chaos.foreign import foreign_messages
from chaos.reading import codes_of
from chaos.stack import MODEL
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import Process, await_true


@fault(36, "foreign message in the queue")
def test_foreign_messages_are_refused_and_the_worker_does_the_next_job(
    trial: Trial, tmp_path: Path, figures: Figures, scale: Callable[..., int]
) -> None:
    """LPUSH of pickle, YAML, junk, deep and much JSON, unknown tasks, models, versions, jobs"""
    trap, queue, redis = tmp_path / "sprung", detect_queue(MODEL), trial.stack.client
    messages = foreign_messages(MODEL, trap, megabytes=scale(slice=5, full=50))
    workers = trial.stack.detectors
    pids, before = [worker.pid for worker in workers], refused(workers)
    for message in messages.values():
        redis.lpush(queue, message)
    await_true(lambda: refused(workers) - before >= len(messages), "all to be refused")
    job = trial.a.submit(trial.a.upload(png(scene())))
    trial.conclude(figures)
    assert codes_of(trial.a, job) == ["success"]
    assert [worker.pid for worker in workers] == pids
    assert all(worker.alive for worker in workers)
    assert not trap.exists()
    figures["messages"] = len(messages)
    figures["messages refused"] = refused(workers) - before


def refused(workers: Iterable[Process]) -> int:
    return sum(len(worker.events("bell.refused")) for worker in workers)
