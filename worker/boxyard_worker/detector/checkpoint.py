"""Reads published `.pth` checkpoints by a restricted unpickler, and writes safetensors.

Imported by the converting process alone; `conversion` starts that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from boxyard_worker.detector.errors import DetectorLoadError


class _Forgotten:
    """Takes the place of whatever a checkpoint holds beside tensors and plain values."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Plain(dict[str, Any]):
    """Takes the place of mmengine's own dictionaries, which may hold the class names."""


# What mmengine's training log and metadata are made of. None of it is needed, so none is made:
# not numpy's arrays, and not what `getattr` would find.
_NAMES = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    "numpy.ndarray",
    "numpy.dtype",
    *(
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
    ),
)


_DICTIONARIES = ("mmengine.config.config.ConfigDict", "addict.addict.Dict")
_STAND_INS: tuple[tuple[Callable[..., Any], str], ...] = (
    *((_Forgotten, name) for name in _NAMES),
    *((_Plain, name) for name in _DICTIONARIES),
)


def write_weights(source: Path, digest: str, target: Path) -> None:
    """Writes a checkpoint's parameters, class names and module versions as safetensors.

    Raises:
        DetectorLoadError: the file is damaged, not a checkpoint, or holds what could run code.
    """
    checkpoint = read_checkpoint(source)
    state = checkpoint.get("state_dict", checkpoint)
    if not _is_state(state):
        raise _no_parameters(source)
    prefix = _common_prefix(state)
    metadata = {
        "classes": json.dumps(_classes(checkpoint.get("meta") or {})),
        "versions": json.dumps(_versions(state, prefix)),
        "source_sha256": digest,
    }
    bare = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    save_file({name: _own(bare[name]) for name in _choose(bare)}, target, metadata)
    _settle_header(target)


def _is_state(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    )


def _settle_header(path: Path) -> None:
    """Puts the header in one order, so that the same checkpoint gives the same sha256 anywhere."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        settled = text.encode().ljust(size)
        if len(settled) != size:  # what follows would be overwritten
            raise ValueError(f"the header of {path.name} cannot be put in order")
        file.seek(8)
        file.write(settled)


def _common_prefix(state: dict[str, Tensor]) -> str:
    """What torch's wrappers for several devices put before every name."""
    return "module." if all(name.startswith("module.") for name in state) else ""


def _choose(state: dict[str, Tensor]) -> list[str]:
    """The model's own parameters, without what trainings kept beside them.

    The preprocessor's mean and deviation are the configuration's business. mmdet 2 kept a moving
    average beside each parameter and changed the two over when it wrote a file, so that the
    parameters hold the average, and what is called `ema_…` is the worse.
    """
    averaged = {f"ema_{name.replace('.', '_')}" for name in state}
    return [
        name for name in state if name not in averaged and not name.startswith("data_preprocessor.")
    ]


def _own(tensor: Tensor) -> Tensor:
    """A tensor without others' memory, gradients or an order of its own."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _versions(state: dict[str, Tensor], prefix: str) -> dict[str, dict[str, int]]:
    """Of torch's notes about modules, the versions; by them old names are migrated."""
    noted = getattr(state, "_metadata", None)
    return {
        f"{module}.".removeprefix(prefix)[:-1]: {"version": note["version"]}
        for module, note in (noted.items() if isinstance(noted, dict) else ())
        if isinstance(note, dict) and isinstance(note.get("version"), int)
    }


def read_checkpoint(source: Path) -> dict[str, Any]:
    """Reads a checkpoint; of what is pickled, only tensors and plain values are made.

    Raises:
        DetectorLoadError: it holds something else, is damaged, or is no checkpoint.
    """
    try:
        with torch.serialization.safe_globals([*_STAND_INS]):
            checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DetectorLoadError(
            f"{source.name} is not a checkpoint that can be read safely: {_reason(error)}.",
            "Use the file that mmdet publishes for the model.",
        ) from error
    if not isinstance(checkpoint, dict):
        raise _no_parameters(source)
    return checkpoint


def _no_parameters(source: Path) -> DetectorLoadError:
    return DetectorLoadError(
        f"{source.name} holds no parameters.", "Use the file that mmdet publishes."
    )


def _reason(error: Exception) -> str:
    # torch wraps what was wrong in advice to read the file without safety.
    told = str(error.__context__ or error).rpartition("WeightsUnpickler error:")[2].strip()
    return told.partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__


def _classes(meta: dict[str, Any]) -> list[str]:
    dataset = {str(k).lower(): v for k, v in (meta.get("dataset_meta") or meta).items()}
    classes = dataset.get("classes") or ()
    return [classes] if isinstance(classes, str) else list(classes)
