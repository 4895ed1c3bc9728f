"""The detect worker: bells come in, results go out, one model on one device.

    application   Celery: a bell runs a chunk
    chunk         claim → pictures → results, for many jobs at once
    lease         keeping hold of what was claimed
    picture       one picture: fetch → decode → infer → encode
    fetch, decoders, encode, results
    hands, turns, budget   threads, decoders and memory, shared out among tenants
    model         the model child: feed it, replace it when it dies
    process, slots   a child and the shared memory that pictures cross in
    worker        all of these put together
    departure, watchdog, ticker, progress, device

This process imports no torch; the child, `boxyard_worker.detector`, does.
"""

from __future__ import annotations

from boxyard_schemas import resolve_model
from boxyard_schemas.errors import UnknownModel
from boxyard_worker.detect.worker import Worker
from boxyard_worker.settings import DetectSettings

__all__ = ["run"]


def run(settings: DetectSettings) -> int:
    """Serves until SIGTERM; returns the exit code.

    Raises:
        SetupError: what the operator must mend: Redis, or the model.
    """
    return Worker(settings.model_copy(update={"model": _resolve(settings.model)})).run()


def _resolve(name: str) -> str:
    try:
        return resolve_model(name)
    except UnknownModel:
        return name  # of mmdet's index, or the operator's own: the detector will tell
