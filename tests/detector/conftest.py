"""Models with weights that find something, and mmdet's own inferencer on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

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


def scatter(model: Any) -> None:
    """Moves seeded random weights apart and fits the norms, so that an RTMDet-Ins finds things."""
    noise = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        if "rtm_cls" in name and name.endswith("bias"):
            parameter.data.fill_(-1.0)
        elif parameter.ndim > 1 and "reg" not in name:
            deviation = (1.0 if "rtm_kernel" in name else 0.25) / parameter[0].numel() ** 0.5
            parameter.data += deviation * torch.randn(parameter.shape, generator=noise)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    blobs = functional.interpolate(torch.randn((4, 3, 9, 9), generator=noise), 256, mode="bicubic")
    with torch.no_grad():
        model.train()(blobs, mode="tensor")


def make_weights(name: str, folder: Path) -> Path:
    """Writes scattered weights of a model, and the same as an mmengine checkpoint beside it."""
    from boxyard_worker.detector import mmdetection
    from boxyard_worker.detector.catalogue import find_model
    from boxyard_worker.detector.configuration import read_config
    from boxyard_worker.detector.weights import randomise

    mmdetection.init_default_scope("mmdet")
    model = mmdetection.MODELS.build(read_config(find_model(name).config).model)
    randomise(model, seed=3)
    scatter(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    save_file(state, folder / f"{name}.safetensors")
    torch.save({"meta": {}, "state_dict": state}, folder / f"{name}.pth")
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="session")
def start_trial(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trial]:
    """Loads a model by name into both; the same `Trial` each time."""
    trials: dict[str, Trial] = {}

    def start(name: str) -> Trial:
        if name not in trials:
            trials[name] = _start_trial(name, tmp_path_factory.mktemp("weights"))
        return trials[name]

    return start


def _start_trial(name: str, folder: Path) -> Trial:
    from boxyard_worker.detector.catalogue import find_model

    weights = make_weights(name, folder)
    detector = load_detector(name, weights=weights)
    from mmdet.apis import DetInferencer
    from mmengine.config import Config

    config = Config.fromfile(str(find_model(name).config))
    config.visualizer = {"type": "DetLocalVisualizer"}  # mmdet's inferencer insists on one
    checkpoint = str(weights.with_suffix(".pth"))
    inferencer = DetInferencer(config, checkpoint, "cpu", show_progress=False)
    return Trial(detector, inferencer, weights)


@pytest.fixture(scope="session")
def paint() -> Callable[[int, int], Pixels]:
    """Makes a picture of coloured blobs, the same one for the same width and height."""

    def paint_blobs(width: int, height: int) -> Pixels:
        import cv2

        random = np.random.default_rng(width * 10007 + height)
        coarse = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        blobs = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(blobs)

    return paint_blobs


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
