"""Which models jobs may name, and who serves them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from boxyard_ledger import Ledger, WorkerRecord
from boxyard_schemas import (
    Model,
    ModelFilters,
    ModelWorker,
    aliases_of,
    detect_queue,
    is_legacy,
    resolve_model,
)
from boxyard_schemas.catalogue import catalogue
from boxyard_schemas.errors import Unavailable, UnknownModel
from boxyard_schemas.words import changed

_GOOD_S = 1.0
_RETRY_AFTER_S = 30


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
        warnings = []
        if is_legacy(name):
            warnings.append(f"{name} is a deprecated name: use {model}.")
        if model not in self._served:
            warnings.append(f"No worker serves {model} now; the job waits until one does.")
        return model, tuple(warnings)

    def check_served(self, model: str) -> None:
        """Checks that a worker serves a model that was resolved just now, or did moments ago.

        Raises:
            Unavailable: none does, and how to start one.
        """
        if model in self._served or self._ledger.served_models.was_served_lately(model):
            return
        files = "" if model in catalogue() else " --config … --weights … --classes …"
        raise Unavailable(
            f"No worker serves {model}. `boxyard-worker detect --model {model}{files}` starts one. "
            "Until then POST /v1/jobs queues jobs for it.",
            retry_after_s=_RETRY_AFTER_S,
        )

    def _recall(self, name: str) -> str | None:
        if time.monotonic() < self._good_until:
            with suppress(UnknownModel):
                model = resolve_model(name, self._served)
                return model if model in self._served else None
        return None

    def _look(self) -> set[str]:
        self._served = served_models(self._ledger)
        self._good_until = time.monotonic() + _GOOD_S
        return self._served | self._ledger.served_models.names()


def served_models(ledger: Ledger) -> set[str]:
    """Names of the models that live workers serve."""
    return {worker.model for worker in ledger.workers.all()}


def list_models(ledger: Ledger, filters: ModelFilters) -> tuple[Model, ...]:
    """The models that a job may name and that fit the filters, by name."""
    serving, waiting = _by_model(ledger), ledger.jobs.waiting()
    names = sorted({*catalogue(), *serving, *ledger.served_models.names()})
    named = (describe(name) for name in names)
    return tuple(
        _with_workers(model, serving[model.name], waiting.get(model.name, 0))
        for model in named
        if fits(model, filters) and filters.served in (None, model.name in serving)
    )


def find_model(ledger: Ledger, name: str) -> Model:
    """One model by any of its names.

    Raises:
        UnknownModel: with near names.
    """
    serving = _by_model(ledger)
    found = resolve_model(name, {*serving, *ledger.served_models.names()})
    return _with_workers(describe(found), serving[found], ledger.jobs.ready(found))


def fits(model: Model, filters: ModelFilters) -> bool:
    """Whether a model is what the filters ask for, `served` apart."""
    return (
        filters.task in (None, model.task)
        and (filters.family is None or filters.family.casefold() == model.family.casefold())
        and _reaches(model.box_ap, filters.min_box_ap)
        and _reaches(model.mask_ap, filters.min_mask_ap)
        and _is_small(model.input_size, filters.max_size)
        and _speaks_of(model, filters.text)
    )


def _reaches(figure: float | None, least: float | None) -> bool:
    return least is None or (figure is not None and figure >= least)


def _is_small(size: tuple[int, int] | None, most: int | None) -> bool:
    return most is None or (size is not None and max(size) <= most)


def _speaks_of(model: Model, text: str | None) -> bool:
    if text is None:
        return True
    said = f"{model.name} {model.family} {model.paper.title if model.paper else ''}".casefold()
    return all(word in said for word in text.casefold().split())


@lru_cache(maxsize=1024)
def describe(name: str) -> Model:
    """What the catalogue says of a model; only its name and queue when it does not know it."""
    entry = catalogue().get(name)
    known = dict(entry) if entry else {"name": name}
    return Model.model_validate({**known, "aliases": aliases_of(name), "queue": detect_queue(name)})


def _by_model(ledger: Ledger) -> defaultdict[str, list[WorkerRecord]]:
    serving: defaultdict[str, list[WorkerRecord]] = defaultdict(list)
    for worker in ledger.workers.all():
        serving[worker.model].append(worker)
    return serving


def _with_workers(model: Model, workers: Sequence[WorkerRecord], queued: int) -> Model:
    if not workers and not queued:
        return model
    live = tuple(
        ModelWorker(id=each.id, host=each.host, device=each.device, warm=each.warm)
        for each in workers
    )
    # One that still loads does not know them yet.
    classes = next((each.classes for each in workers if each.classes), ())
    return changed(model, classes=classes, workers=live, queued=queued)
