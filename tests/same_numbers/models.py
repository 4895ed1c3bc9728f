"""Models with seeded random weights that find something, and mmdet's own inferencer on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file
from torch.nn import functional

from boxyard_worker.detector import mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.configuration import read_config
from boxyard_worker.detector.weights import randomise

_THRESHOLDS = {"SOLO": 0.9, "SOLOv2": 0.5}
"""Of SOLO's kin some points may pass: each that does is a mask before any is suppressed."""

_NORMED = ("RTMDet", "YOLOX")
"""Models whose heads have norms of their own."""

_DECIDING = ("cls", "rtm_kernel", "conv_mask_list", "conv_kernel", "mask_embed", "conv_logits")
"""Layers whose outputs must differ from place to place for boxes and masks to."""


def write_config(
    name: str,
    folder: Path,
    side: int | None = None,
    most: int | None = None,
    stages: int | None = None,
) -> Path:
    """Writes a model's configuration without a threshold, for untrained it is sure of nothing.

    Args:
        name: of mmdet's index.
        folder: where to.
        side: input size in pixels instead of the model's own, so that a CPU has less to do.
        most: instances at most, where mmdet would fill the memory with masks.
        stages: that a cascade has instead of its own, all alike.
    """
    config = Config.fromfile(str(find_model(name).config))
    if side:
        for step in config.test_dataloader.dataset.pipeline:
            for key in {"scale", "size"} & set(step):
                step[key] = (side, side)
    limits = config.model.get("test_cfg") or {}
    for part in (limits, limits.get("rcnn") or {}):
        if "score_thr" in part:
            part["score_thr"] = _THRESHOLDS.get(config.model.type, 0.0)
        if most and "max_per_img" in part:
            part["max_per_img"] = most
    if stages:
        head = config.model.roi_head
        head.num_stages, head.bbox_head = stages, head.bbox_head[:stages]
        head.stage_loss_weights = head.stage_loss_weights[:stages]
    config.dump(str(folder / f"{name}.py"))
    return folder / f"{name}.py"


def write_weights(config: Path, folder: Path) -> Path:
    """Writes scattered weights for a configuration."""
    mmdetection.init_default_scope("mmdet")
    settings = read_config(config)
    model = mmdetection.MODELS.build(settings.model)
    randomise(model, seed=3)
    scatter(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def scatter(model: Any) -> None:
    """Moves seeded random weights so far apart that the model finds something."""
    noise = torch.Generator().manual_seed(11)

    def move(parameter: torch.Tensor, deviation: float) -> None:
        parameter.data += deviation * torch.randn(parameter.shape, generator=noise)

    for name, parameter in model.named_parameters():
        fan_in = parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 1.0
        if "offset" in name:
            move(parameter, 0.02)
        elif "fc_reg" in name:
            parameter.data *= 0.1  # six stages one after the other lead far away
        elif "rtm_reg" in name:  # distances to a box's sides; what it encloses must be something
            move(parameter.data.fill_(3.0) if parameter.ndim == 1 else parameter, 0.5 / fan_in)
        elif "cls" in name and name.endswith("bias"):
            parameter.data.fill_(-1.0)
            move(parameter, 0.5)
        elif "rtm_cls" in name:
            move(parameter, 0.02 / fan_in)  # more, and every score is 1
        elif any(part in name for part in _DECIDING):
            move(parameter.data.zero_() if parameter.ndim == 1 else parameter, 1.0 / fan_in)
        elif parameter.ndim > 1 and "reg" not in name and "proposal" not in name:
            move(parameter, 0.25 / fan_in)
    _fit_norms(model, torch.randn((2, 3, 9, 9), generator=noise))


def _fit_norms(model: Any, coarse: torch.Tensor) -> None:
    """Sets the norms to what they see of smooth pictures, so that no layer fades or bursts."""
    kind = torch.nn.modules.batchnorm._BatchNorm
    norms = [module for module in model.modules() if isinstance(module, kind)]
    if not norms:
        return
    pictures = functional.interpolate(coarse, 192, mode="bicubic")
    if not model.data_preprocessor._enable_normalize:
        pictures = 64 * pictures + 128
    model.train()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        if type(model).__name__ in _NORMED:
            model(pictures, mode="tensor")
        else:
            model.extract_feat(pictures)


def start_inferencer(config: Path, weights: Path) -> Any:
    """mmdet's `DetInferencer` on a configuration and a safetensors file."""
    from mmdet.apis import DetInferencer
    from mmdet.models.dense_heads import SSDHead

    settings = Config.fromfile(str(config))
    settings.visualizer = {"type": "DetLocalVisualizer"}  # mmdet's inferencer insists on one
    inferencer = DetInferencer(settings, None, "cpu", show_progress=False)
    inferencer.model.load_state_dict(load_file(weights))
    for part in inferencer.model.modules():
        if isinstance(part, SSDHead):
            part.loss_cls = None  # mmdet 3.3 asks for it, and raises AttributeError
    return inferencer
