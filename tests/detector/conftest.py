"""Models with weights that find something, and mmdet's own inferencer on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from boxyard_worker.detector import Detector, load_detector
from boxyard_worker.detector.contract import ModelImage, Pixels
from boxyard_worker.detector.resize import resize


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Trial:
    """One set of weights behind our detector and behind mmdet's inferencer."""

    detector: Detector
    inferencer: Any
    weights: Path


@pytest.fixture(scope="session")
def shrink() -> Callable[[str, int, Path], Path]:
    """Writes a model's configuration with another size of input, so that a CPU has less to do."""
    from same_numbers.models import write_config

    return lambda name, side, folder: write_config(name, folder, side)


@pytest.fixture(scope="session")
def start_trial(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trial]:
    """Loads a model with scattered weights into both, perhaps shrunk; each once, if it is kept."""
    trials: dict[str, Trial] = {}

    def start(
        name: str, side: int | None = None, keep: bool = True, stages: int | None = None
    ) -> Trial:
        if name in trials:
            return trials[name]
        trial = _start_trial(name, side, stages, tmp_path_factory.mktemp("trial"))
        if keep:
            trials[name] = trial
        return trial

    return start


def _start_trial(name: str, side: int | None, stages: int | None, folder: Path) -> Trial:
    from same_numbers.models import start_inferencer, write_config, write_weights

    config = write_config(name, folder, side, stages=stages)
    weights = write_weights(config, folder)
    detector = load_detector(name, weights=weights, config=config)
    return Trial(detector, start_inferencer(config, weights), weights)


@pytest.fixture(scope="session")
def paint() -> Callable[[int, int], Pixels]:
    """Makes a picture of coloured blobs, the same one for the same width and height."""
    from same_numbers import pictures

    return pictures.paint


@pytest.fixture(scope="session")
def wrap() -> Callable[..., ModelImage]:
    """Makes the `ModelImage` of a decoded picture, resized as the worker's parent would."""

    def wrap_pixels(
        detector: Detector,
        pixels: Pixels,
        score_threshold: float = 0.0,
        max_detections: int = 1000,
        masks: bool = True,
    ) -> ModelImage:
        plan = detector.describe().plan
        height, width = pixels.shape[:2]
        resized = resize(pixels, plan) if plan else pixels
        return ModelImage(resized, width, height, score_threshold, max_detections, masks)

    return wrap_pixels
