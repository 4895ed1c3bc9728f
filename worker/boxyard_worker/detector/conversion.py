"""Published `.pth` checkpoints → safetensors, once, offline, without running what is pickled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors.torch import save_file

from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.weights import hash_file


class _Forgotten:
    """Takes the place of mmengine's training log, which nobody needs here."""

    def __setstate__(self, state: object) -> None:
        pass


def _forget(*_arguments: object) -> None:
    """Takes the place of `getattr`, by which the training log names its own methods."""


# What mmengine's checkpoints hold beside tensors. The right-hand names are as pickled; nothing
# that can reach other code is among the left-hand objects.
_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Forgotten, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_forget, "builtins.getattr"),
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    (multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in "?bBhHiIlLqQefdSU"),
]


def convert_checkpoint(source: Path, target: Path | None = None) -> Path:
    """Writes a checkpoint's parameters, class names and module versions as safetensors.

    Args:
        source: a published checkpoint, whose name may end in the start of its own sha256.
        target: the file to write; beside the source when left out.

    Raises:
        DetectorLoadError: the file is damaged, not a checkpoint, or holds what could run code.
    """
    target = target or source.with_suffix(".safetensors")
    digest = _check_digest(source)
    checkpoint = _read_checkpoint(source)
    state = checkpoint.get("state_dict", checkpoint)
    metadata = {
        "classes": json.dumps(_classes(checkpoint.get("meta") or {})),
        "versions": json.dumps(getattr(state, "_metadata", {})),
        "source": source.name,
        "source_sha256": digest,
    }
    # The preprocessor's mean and deviation are the configuration's business.
    kept = {k: v.clone() for k, v in state.items() if not k.startswith("data_preprocessor.")}
    save_file(kept, target, metadata)
    return target


def _read_checkpoint(source: Path) -> dict[str, Any]:
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DetectorLoadError(
            f"{source.name} is not a checkpoint that can be read safely: {_reason(error)}.",
            "Use the file that mmdet publishes for the model.",
        ) from error
    if not isinstance(checkpoint, dict):
        raise DetectorLoadError(
            f"{source.name} holds no parameters.", "Use the file that mmdet publishes."
        )
    return checkpoint


def _reason(error: Exception) -> str:
    # torch wraps what was wrong in advice to read the file without safety.
    told = str(error.__context__ or error).rpartition("WeightsUnpickler error:")[2].strip()
    return told.partition("\n")[0].partition(". ")[0].rstrip(".")


def _check_digest(source: Path) -> str:
    digest = hash_file(source)
    claimed = re.search(r"-([0-9a-f]{8})\.pth$", source.name)
    if claimed and not digest.startswith(claimed[1]):
        raise DetectorLoadError(
            f"{source.name} is damaged: its sha256 begins with {digest[:8]}, not {claimed[1]}.",
            "Fetch it again.",
        )
    return digest


def _classes(meta: dict[str, Any]) -> list[str]:
    dataset = {str(k).lower(): v for k, v in (meta.get("dataset_meta") or meta).items()}
    classes = dataset.get("classes") or ()
    return [classes] if isinstance(classes, str) else list(classes)
