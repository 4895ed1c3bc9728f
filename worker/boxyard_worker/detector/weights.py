"""Weights: safetensors files only, every key accounted for, known by their sha256."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmcv.cnn.bricks.conv_ws import ConvAWS2d
from mmengine.logging import MMLogger
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from boxyard_worker.detector.digest import hash_file
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.migration import keep_unexplained, rename_parameters

_SHOWN = 8


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes:
        path: the file.
        sha256: hex digest of the file.
        state: parameter name → tensor.
        classes: label names the weights were trained for, in label order; may be empty.
        versions: torch's module versions by which old parameter names are migrated.
    """

    path: Path
    sha256: str
    state: dict[str, Tensor]
    classes: tuple[str, ...]
    versions: dict[str, Any]


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file into host memory.

    Raises:
        DetectorLoadError: the file is missing, of another format, or damaged.
    """
    if path.suffix in {".pth", ".pt"}:
        raise DetectorLoadError(
            f"{path.name} is a pickled checkpoint, which is never loaded while serving.",
            f"Convert it once: boxyard-worker convert {path}",
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        classes = tuple(json.loads(metadata.get("classes", "[]")))
        versions = json.loads(metadata.get("versions", "{}"))
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise DetectorLoadError(
            f"The weights {path} cannot be read: {error}.",
            "Name a safetensors file. What its metadata says of `classes`, if anything, must be a"
            " JSON list of names.",
        ) from error
    return Weights(path, hash_file(path), state, classes, versions)


def load_weights(model: nn.Module, weights: Weights) -> None:
    """Copies weights into a model that must want exactly these.

    Raises:
        DetectorLoadError: names the parameters that are missing, unexpected or of another shape.
    """
    wanted = model.state_dict().keys()
    state = OrderedDict(rename_parameters(weights.state, wanted))
    state._metadata = weights.versions  # type: ignore[attr-defined]  # where torch looks for them
    try:
        missing, left_over = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes differ
        raise _misfit(weights, str(error)) from error
    left_over, missing = keep_unexplained([*left_over, *_hidden(model, state)], missing)
    if missing or left_over:
        raise _misfit(weights, f"missing: {_list(missing)}; unexpected: {_list(left_over)}")


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Gives a model its untrained weights, the same ones for the same seed."""
    torch.manual_seed(seed)
    MMLogger.get_current_instance().setLevel("WARNING")  # else it tells of every parameter
    model.init_weights()  # type: ignore[operator]  # every mmengine model has it
    for part in model.modules():
        if isinstance(part, ConvAWS2d):
            # It takes its scale from weights that it loads; without any, what it says bursts.
            part.load_state_dict({"weight": part.weight}, strict=False)


def _hidden(model: nn.Module, state: Collection[str]) -> list[str]:
    """What VFNet's head would take no notice of: it switches the loading of itself off."""
    prefixes = [
        f"{name}."
        for name, module in model.named_modules()
        if "VFNetHead" in (kind.__name__ for kind in type(module).__mro__)
    ]
    wanted = model.state_dict().keys()
    return [name for name in state if name.startswith(tuple(prefixes)) and name not in wanted]


def _misfit(weights: Weights, what: str) -> DetectorLoadError:
    return DetectorLoadError(
        f"The weights {weights.path.name} are not this model's ({what}).",
        "Use the weights published for exactly this configuration.",
    )


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) or "none"
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
