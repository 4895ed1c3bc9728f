"""The way that a picture takes in a worker: decoder's process, plan, slot, model's process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from boxyard_schemas.errors import Permanent
from boxyard_worker.decoder.header import read_header
from boxyard_worker.detect.decoders import Decoders, memory_of
from boxyard_worker.detect.model import Model
from boxyard_worker.detect.slots import Slots
from boxyard_worker.detector.contract import ModelImage, RawDetections, ResizePlan
from boxyard_worker.detector.messages import Load

from .comparison import MOST

MOST_PIXELS = 64_000_000
_LONG_S = 3600.0


class WorkerPath:
    """A worker's parts from a picture's bytes to what the model found.

    Args:
        name: the model's.
        config: its configuration.
        weights: a safetensors file.
        max_batch: most pictures that go on the device together; that many are waited for.
    """

    def __init__(self, name: str, config: Path, weights: Path, max_batch: int = 2) -> None:
        with ExitStack() as stack:
            self._slots = Slots(2 * max_batch, 1 << 24)
            stack.callback(self._slots.close)
            self._decoders = Decoders(1, max_pixels=MOST_PIXELS, deadline_s=_LONG_S)
            stack.callback(self._decoders.close)
            self._model = self._make_model(name, config, weights, max_batch)
            stack.callback(self._model.stop)
            self._plan = self._model.start().plan
            self._stack = stack.pop_all()

    def _make_model(self, name: str, config: Path, weights: Path, max_batch: int) -> Model:
        load = Load(
            model=name,
            detector="mmdetection",
            device="cpu",
            weights=weights,
            random_weights=False,
            config=config,
            max_batch=max_batch,
            max_wait_s=1.0,
            slots=self._slots.files,
        )
        return Model(
            load,
            self._slots,
            visible_device="",
            batch_deadline_s=_LONG_S,
            load_deadline_s=_LONG_S,
            max_strikes=1,
            on_broken=lambda error: None,
        )

    def close(self) -> None:
        """Ends the processes."""
        self._stack.close()

    def detect(self, *files: bytes) -> list[RawDetections | str]:
        """Sends pictures together; one that fails is answered by its error's code."""
        images = [read(self._decoders, file, self._plan) for file in files]
        with ThreadPoolExecutor(len(files)) as pool:
            return list(pool.map(self._infer, images))

    def _infer(self, image: ModelImage) -> RawDetections | str:
        try:
            return self._model.infer(image)
        except Permanent as error:
            return f"{error.reason}: {error}"


def read(decoders: Decoders, file: bytes, plan: ResizePlan | None) -> ModelImage:
    """A picture as a worker hands it to the model, nothing cut off, masks and all."""
    decoded = decoders.decode(file, memory_of(file, read_header(file)), plan)
    return ModelImage(decoded.pixels, decoded.width, decoded.height, 0.0, MOST, True)
