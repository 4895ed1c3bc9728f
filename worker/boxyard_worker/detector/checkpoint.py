"""Reads published `.pth` checkpoints by a restricted unpickler, and writes safetensors.

Imported by the converting process alone; `conversion` starts that.
"""

from __future__ import annotations

import json
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


def write_weights(source: Path, digest: str, target: Path) -> None:
    """Writes a checkpoint's parameters, class names and module versions as safetensors.

    Raises:
        DetectorLoadError: the file is damaged, not a checkpoint, or holds what could run code.
    """
    checkpoint = read_checkpoint(source)
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise _no_parameters(source)
    metadata = {
        "classes": json.dumps(_classes(checkpoint.get("meta") or {})),
        "versions": json.dumps(getattr(state, "_metadata", {})),
        "source": source.name,
        "source_sha256": digest,
    }
    # The preprocessor's mean and deviation are the configuration's business.
    kept = {k: v.clone() for k, v in state.items() if not k.startswith("data_preprocessor.")}
    save_file(kept, target, metadata)


def read_checkpoint(source: Path) -> dict[str, Any]:
    """Reads a checkpoint; of what is pickled, only tensors and plain values are made.

    Raises:
        DetectorLoadError: it holds something else, is damaged, or is no checkpoint.
    """
    try:
        with torch.serialization.safe_globals([(_Forgotten, name) for name in _NAMES]):
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
