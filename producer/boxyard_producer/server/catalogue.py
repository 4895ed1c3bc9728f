"""Which models jobs may name, and who serves them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from boxyard_ledger import Ledger, WorkerRecord
from boxyard_schemas import (
    Model,
    ModelWorker,
    aliases_of,
    detect_queue,
    known_models,
    resolve_model,
)
from boxyard_schemas.errors import UnknownModel

_GOOD_S = 1.0


class Resolver:
    """Knows models by any spelling.

    Every submission asks, so who serves what is read from Redis once a second at most; but a
    model that nobody seemed to serve then is looked up again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._served, self._good_until = set[str](), 0.0

    def resolve(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The mmdet-3 name behind any spelling, and what the caller should be warned of.

        Raises:
            UnknownModel: with near names.
        """
        model = self._recall(name) or resolve_model(name, self._look())
        if model in self._served:
            return model, ()
        return model, (f"No worker serves {model} now; the job waits until one does.",)

    def _recall(self, name: str) -> str | None:
        if time.monotonic() < self._good_until:
            with suppress(UnknownModel):
                model = resolve_model(name, self._served)
                return model if model in self._served else None
        return None

    def _look(self) -> set[str]:
        self._served = served_models(self._ledger)
        self._good_until = time.monotonic() + _GOOD_S
        return self._served


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
