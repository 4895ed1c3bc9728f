"""Which models jobs may name, and who serves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from boxyard_ledger import Ledger, WorkerRecord
from boxyard_schemas import (
    Model,
    ModelWorker,
    aliases_of,
    detect_queue,
    known_models,
    resolve_model,
)


def resolve(ledger: Ledger, name: str) -> tuple[str, tuple[str, ...]]:
    """The mmdet-3 name behind any spelling, and what the caller should be warned of.

    Raises:
        UnknownModel: with near names.
    """
    served = served_models(ledger)
    model = resolve_model(name, served)
    if model in served:
        return model, ()
    return model, (f"No worker serves {model} now; the job waits until one does.",)


def served_models(ledger: Ledger) -> set[str]:
    """Names of the models that live workers serve."""
    return {worker.model for worker in ledger.workers.all()}


def list_models(ledger: Ledger) -> tuple[Model, ...]:
    """Every model that a job may name, by name."""
    serving = _by_model(ledger)
    return tuple(
        _model(ledger, name, serving[name]) for name in sorted({*known_models(), *serving})
    )


def find_model(ledger: Ledger, name: str) -> Model:
    """One model by any of its names.

    Raises:
        UnknownModel: with near names.
    """
    serving = _by_model(ledger)
    found = resolve_model(name, serving)
    return _model(ledger, found, serving[found])


def _by_model(ledger: Ledger) -> defaultdict[str, list[WorkerRecord]]:
    serving: defaultdict[str, list[WorkerRecord]] = defaultdict(list)
    for worker in ledger.workers.all():
        serving[worker.model].append(worker)
    return serving


def _model(ledger: Ledger, name: str, workers: Sequence[WorkerRecord]) -> Model:
    return Model(
        name=name,
        aliases=aliases_of(name),
        task=known_models().get(name),
        classes=workers[0].classes if workers else (),
        workers=tuple(
            ModelWorker(id=each.id, host=each.host, device=each.device, warm=each.warm)
            for each in workers
        ),
        queued=ledger.jobs.ready(name),
        queue=detect_queue(name),
    )
