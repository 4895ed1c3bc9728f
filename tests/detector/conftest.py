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


def scatter(model: Any, side: int) -> None:
    """Moves seeded random weights so far apart that the model finds something."""
    noise = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        if "cls" in name and name.endswith("bias"):
            parameter.data.fill_(-1.0)
        elif "rtm_kernel" in name and name.endswith("bias"):
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=noise)
        elif parameter.ndim > 1 and "reg" not in name:
            deviation = (1.0 if "rtm_kernel" in name else 0.25) / parameter[0].numel() ** 0.5
            parameter.data += deviation * torch.randn(parameter.shape, generator=noise)
    if type(model).__name__ == "RTMDet":
        fit_norms(model, torch.randn((2, 3, 9, 9), generator=noise), side)


def fit_norms(model: Any, coarse: torch.Tensor, side: int) -> None:
    """Sets the norms to what they see of smooth pictures, so that no layer fades or bursts."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(functional.interpolate(coarse, side, mode="bicubic"), mode="tensor")


@pytest.fixture(scope="session")
def shrink() -> Callable[[str, int, Path], Path]:
    """Writes a model's configuration with another size of input, so that a CPU has less to do."""

    def shrink_config(name: str, side: int, folder: Path) -> Path:
        from mmengine.config import Config

        from boxyard_worker.detector.catalogue import find_model

        config = Config.fromfile(str(find_model(name).config))
        for step in config.test_dataloader.dataset.pipeline:
            for key in {"scale", "size"} & set(step):
                step[key] = (side, side)
        if "rcnn" in config.model.get("test_cfg", {}):
            config.model.test_cfg.rcnn.score_thr = 0.0  # untrained, it is sure of nothing
        config.dump(str(folder / f"{name}.py"))
        return folder / f"{name}.py"

    return shrink_config


@pytest.fixture(scope="session")
def start_trial(tmp_path_factory: pytest.TempPathFactory, shrink: Any) -> Callable[..., Trial]:
    """Loads a model by name into both, perhaps shrunk; the same `Trial` each time."""
    trials: dict[str, Trial] = {}

    def start(name: str, side: int | None = None) -> Trial:
        if name not in trials:
            folder = tmp_path_factory.mktemp("trial")
            trials[name] = _start_trial(name, shrink(name, side, folder) if side else None, folder)
        return trials[name]

    return start


def _start_trial(name: str, path: Path | None, folder: Path) -> Trial:
    from boxyard_worker.detector.catalogue import find_model

    config = path or find_model(name).config
    weights = _make_weights(config, folder)
    detector = load_detector(name, weights=weights, config=path)
    from mmdet.apis import DetInferencer
    from mmengine.config import Config

    settings = Config.fromfile(str(config))
    settings.visualizer = {"type": "DetLocalVisualizer"}  # mmdet's inferencer insists on one
    checkpoint = str(weights.with_suffix(".pth"))
    inferencer = DetInferencer(settings, checkpoint, "cpu", show_progress=False)
    return Trial(detector, inferencer, weights)


def _make_weights(path: Path, folder: Path) -> Path:
    """Writes scattered weights, and the same as an mmengine checkpoint beside them."""
    from boxyard_worker.detector import mmdetection
    from boxyard_worker.detector.configuration import read_config
    from boxyard_worker.detector.weights import randomise

    mmdetection.init_default_scope("mmdet")
    config = read_config(path)
    plan = mmdetection.Pipeline(config).plan
    assert plan
    model = mmdetection.MODELS.build(config.model)
    randomise(model, seed=3)
    scatter(model, plan.width)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    torch.save({"meta": {}, "state_dict": state}, folder / "weights.pth")
    return folder / "weights.safetensors"


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
