"""Weights: safetensors files only, every key accounted for, known by their sha256."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping
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
from boxyard_worker.detector.file_kinds import CHECKPOINT, SAFETENSORS, recognise, refuse_foreign
from boxyard_worker.detector.migration import keep_unexplained, rename_parameters
from boxyard_worker.detector.states import find_prefixes, unwrap

_SHOWN = 8
_HEAD_PARAMETERS = 40
"""More than the parameters of heads whose shape depends on the number of classes."""


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes:
        path: the file.
        sha256: hex digest of the file.
        state: parameter name → tensor.
        classes: label names the weights were trained for, in label order; may be empty, and may be
            anything that a training noted (`labels.check_names` checks).
        versions: torch's module versions by which old parameter names are migrated.
    """

    path: Path
    sha256: str
    state: dict[str, Tensor]
    classes: object
    versions: dict[str, Any]


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file into host memory.

    Raises:
        DetectorLoadError: the file is missing, of another format, or damaged.
    """
    try:
        if recognise(path) is CHECKPOINT:
            raise DetectorLoadError(
                f"{path.name} is a pickled checkpoint, which is never loaded while serving.",
                f"Convert it once: boxyard-worker convert {path}",
            )
        refuse_foreign(path, "The weights", SAFETENSORS)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        classes = json.loads(metadata.get("classes", "[]"))
        versions = json.loads(metadata.get("versions", "{}"))
    except OSError as error:
        raise DetectorLoadError(
            f"The weights {path} cannot be read: {error.strerror or error}.",
            "Name a safetensors file.",
        ) from error
    except SafetensorError as error:
        raise DetectorLoadError(
            f"The weights {path} cannot be read: they are no safetensors file, or cut short"
            f" ({error}).",
            "Copy or convert the file again.",
        ) from error
    except ValueError:
        classes, versions = None, {}
    if not isinstance(classes, list | dict | str) or not isinstance(versions, dict):
        raise DetectorLoadError(
            f"The weights {path} cannot be read: their metadata is not Boxyard's.",
            "What it says of `classes`, if anything, must be a JSON list of names, and of"
            " `versions` a JSON object.",
        )
    names = tuple(classes) if isinstance(classes, list) else classes
    return Weights(path, hash_file(path), state, names, versions)


def load_weights(model: nn.Module, weights: Weights) -> None:
    """Copies weights into a model that must want exactly these.

    Raises:
        DetectorLoadError: names the parameters that are missing, unexpected, of another shape or
            not numbers.
    """
    if spoilt := [name for name, tensor in weights.state.items() if tensor.isnan().any()]:
        raise DetectorLoadError(
            f"The weights {weights.path.name} hold NaN, as in {spoilt[0]}.",
            "The training diverged before it saved them: use an earlier checkpoint of it.",
        )
    own = model.state_dict()
    if broken := [name for name, tensor in weights.state.items() if tensor.is_complex()]:
        raise _misfit(weights, f"{broken[0]} is of complex numbers")
    bare, wrapper = unwrap(weights.state, own.keys())
    state = OrderedDict(rename_parameters(bare, own.keys()))
    state._metadata = weights.versions  # type: ignore[attr-defined]  # where torch looks for them
    _refuse_infinite(weights, state, own)
    try:
        missing, left_over = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise _misshapen(weights, _compare_shapes(own, state), str(error)) from error
    left_over, missing = keep_unexplained([*left_over, *_hidden(model, state)], missing)
    if missing or left_over:
        if prefixes := find_prefixes(left_over, keep_unexplained([], own.keys())[1]):
            raise _prefixed(weights, [wrapper + prefix for prefix in prefixes])
        if left_over and len(missing) > max(_SHOWN, len(own) / 2):
            raise _misfit(
                weights,
                f"{len(missing)} of its {len(own)} parameters are missing, such as"
                f" {missing[0]}: the file is of another architecture",
            )
        raise _misfit(weights, f"missing: {_list(missing)}; unexpected: {_list(left_over)}")


def _refuse_infinite(
    weights: Weights, state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> None:
    """Refuses infinite numbers where the model itself, whose masks may have some, has none."""
    for name, tensor in state.items():
        if tensor.isinf().any() and not (name in own and own[name].isinf().any()):
            raise DetectorLoadError(
                f"The weights {weights.path.name} hold infinite numbers, as in {name}.",
                "The training diverged before it saved them, or they were saved in half precision,"
                " which has no number beyond 65504: use another checkpoint of it.",
            )


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


def _compare_shapes(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Says of each parameter whose shape differs what both are."""
    return [
        f"{name} is {_shape(state[name])} in the file and {_shape(tensor)} in the model"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _misshapen(weights: Weights, differences: list[str], told: str) -> DetectorLoadError:
    if not differences:
        return _misfit(weights, told.splitlines()[-1].strip())
    what = f"{len(differences)} parameters have another shape: {'; '.join(differences[:3])}"
    # A model for other classes differs in a few parameters of its head and nowhere else.
    if len(differences) <= _HEAD_PARAMETERS:
        return DetectorLoadError(
            f"The weights {weights.path.name} are not this model's ({what}).",
            "If the configuration's `num_classes` is not what the weights were trained for, make"
            " it so, in each head; else use the weights of exactly this configuration.",
        )
    return _misfit(weights, what)


def _prefixed(weights: Weights, prefixes: list[str]) -> DetectorLoadError:
    *_, one = prefixes
    return DetectorLoadError(
        f"The weights {weights.path.name} hold the model's parameters under names that begin with"
        f" {' or '.join(map(repr, prefixes))[:200]}.",
        f"Save the ones to be served without that: {{name.removeprefix({one!r}): tensor for name,"
        f" tensor in state_dict.items() if name.startswith({one!r})}}.",
    )


def _misfit(weights: Weights, what: str) -> DetectorLoadError:
    return DetectorLoadError(
        f"The weights {weights.path.name} are not this model's ({what}).",
        "Use the weights published for exactly this configuration.",
    )


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) or "none"
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
