"""Models with weights that find something, and mmdet's own inferencer on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
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
    """Loads a model into both, perhaps shrunk, its weights scattered or trained; each once."""
    trials: dict[tuple[str, bool], Trial] = {}

    def start(name: str, side: int | None = None, trained: bool = False) -> Trial:
        if (name, trained) not in trials:
            folder = tmp_path_factory.mktemp("trial")
            path = shrink(name, side, folder) if side else None
            trials[name, trained] = _start_trial(name, path, folder, trained)
        return trials[name, trained]

    return start


def _start_trial(name: str, path: Path | None, folder: Path, trained: bool) -> Trial:
    from boxyard_worker.detector.catalogue import find_model

    entry = find_model(name)
    weights = entry.weights if trained else _make_weights(path or entry.config, folder)
    assert weights
    detector = load_detector(name, weights=weights, config=path)
    checkpoint = folder / "weights.pth"
    torch.save({"meta": {}, "state_dict": load_file(weights)}, checkpoint)
    return Trial(detector, _start_inferencer(path or entry.config, checkpoint), weights)


def _start_inferencer(config: Path, checkpoint: Path) -> Any:
    from mmdet.apis import DetInferencer
    from mmengine.config import Config

    settings = Config.fromfile(str(config))
    settings.visualizer = {"type": "DetLocalVisualizer"}  # mmdet's inferencer insists on one
    return DetInferencer(settings, str(checkpoint), "cpu", show_progress=False)


def _make_weights(path: Path, folder: Path) -> Path:
    """Writes scattered weights."""
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
