"""The detect worker: wake-ups come in, results go out, one model on one device.

    choice        which model, with which weights
    application   Celery: a wake-up drains the ready jobs
    chunk         claim → pictures → results, for many jobs at once
    lease         keeping hold of what was claimed
    picture       one picture: fetch → decode → infer → encode
    fetch, decoders, encode, results
    decoder_process   one decoder child; exits: what ended a child
    hands, turns, budget   threads, decoders and memory, shared out among tenants
    model         the model child: feed it, replace it when it dies
    pending       the pictures that it owes an answer
    process, slots   a child and the shared memory that pictures cross in
    worker        all of these put together
    departure, watchdog, ticker, progress, patience, device

This process imports no torch; the child, `boxyard_worker.detector`, does.
"""

from __future__ import annotations

from boxyard_worker.detect.choice import choose_model
from boxyard_worker.detect.worker import Worker
from boxyard_worker.settings import DetectSettings

__all__ = ["run"]


def run(settings: DetectSettings) -> int:
    """Serves until SIGTERM; returns the exit code.

    Raises:
        SetupError: what the operator must mend: Redis, or the model.
    """
    return Worker(choose_model(settings)).run()
