"""Parts of a worker, by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from boxyard_worker.detect.model import Model
from boxyard_worker.detect.slots import Slots
from boxyard_worker.detector.messages import Load

MakeModel = Callable[..., Model]


@pytest.fixture
def make_model() -> Iterator[MakeModel]:
    """Starts models on the stand-in; ends them with the test."""
    started: list[tuple[Model, Slots]] = []

    def make(
        *,
        max_batch: int = 8,
        max_wait_s: float = 0.02,
        deadline_s: float = 60,
        visible_device: str = "",
        model: str = "stand-in",
    ) -> Model:
        slots = Slots(16, 1 << 16)
        load = Load(
            model=model,
            detector="standin",
            device="cpu",
            weights=None,
            random_weights=False,
            config=None,
            max_batch=max_batch,
            max_wait_s=max_wait_s,
            slots=slots.files,
        )
        made = Model(
            load,
            slots,
            visible_device=visible_device,
            batch_deadline_s=deadline_s,
            load_deadline_s=60,
            max_strikes=3,
            on_broken=lambda error: None,
        )
        started.append((made, slots))
        made.start()
        return made

    yield make
    for model, slots in started:
        model.stop()
        slots.close()
