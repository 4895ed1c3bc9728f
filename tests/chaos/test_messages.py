"""Fault 36: strangers put messages into a model's queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from boxyard_schemas import detect_queue
from chaos.faults import fault
from chaos.foreign import foreign_messages
from chaos.stack import MODEL
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import await_true


@fault(36, "foreign message in the queue")
def test_foreign_messages_are_refused_and_the_worker_does_the_next_job(
    trial: Trial, tmp_path: Path, figures: Figures, scale: Callable[..., int]
) -> None:
    """LPUSH of pickle, YAML, junk, deep and much JSON, unknown tasks, models, versions, jobs"""
    trap, queue, redis = tmp_path / "sprung", detect_queue(MODEL), trial.stack.client
    messages = foreign_messages(MODEL, trap, megabytes=scale(slice=5, full=50))
    pids = [worker.pid for worker in trial.stack.detectors]
    refused = sum(len(worker.events("bell.refused")) for worker in trial.stack.detectors)
    for message in messages.values():
        redis.lpush(queue, message)
    await_true(lambda: not redis.llen(queue), "the queue to be empty")
    job = trial.a.submit(trial.a.upload(png(scene())))
    trial.conclude(figures)
    told = trial.a.read(job)
    assert told
    assert told["state"] == "succeeded"
    assert [worker.pid for worker in trial.stack.detectors] == pids
    assert all(worker.alive for worker in trial.stack.detectors)
    assert not trap.exists()
    after = sum(len(worker.events("bell.refused")) for worker in trial.stack.detectors)
    figures["messages"], figures["refused"] = len(messages), after - refused
    assert after - refused >= len(messages)
