"""What a model calls the things that it tells apart."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

from boxyard_worker.detector.errors import DetectorLoadError

# The first that a model has says it; a cascade's heads agree.
_HEADS = "roi_head.bbox_head", "bbox_head", "mask_head", "panoptic_head"


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads a file of label names, one a line, in label order; a last empty line counts nothing.

    Raises:
        DetectorLoadError: it cannot be read, holds none, or has an empty or a repeated one.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").rstrip().split("\n")]
    except (OSError, UnicodeError) as error:
        raise DetectorLoadError(
            f"The class names {path} cannot be read: {error}.", "Name a UTF-8 text file."
        ) from error
    for number, name in enumerate(names, 1):
        if not name or name in names[: number - 1]:
            fault = f"repeats {name!r}" if name else "is empty"
            raise DetectorLoadError(
                f"Line {number} of the class names {path.name} {fault}.", "Give one name a line."
            )
    return tuple(names)


def check_labels(model: Any, labels: tuple[str, ...]) -> None:
    """Refuses label names that are more or fewer than the model's labels.

    Raises:
        DetectorLoadError: says both numbers.
    """
    wanted = _count_labels(model)
    if wanted and len(labels) not in wanted:
        raise DetectorLoadError(
            f"The model tells {wanted[0]} classes apart, and {len(labels)} class names are given.",
            "Give as many names as the configuration's `num_classes`, one a line, by --classes.",
        )


def _count_labels(model: Any) -> tuple[int, ...]:
    """How many labels the model's head knows; empty where it does not say."""
    if hasattr(model, "language_model"):
        return ()
    for path in _HEADS:
        head = reduce(lambda part, name: getattr(part, name, None), path.split("."), model)
        if head is not None:
            head = head[-1] if hasattr(head, "__getitem__") else head
            # A panoptic head's labels go on with those of what cannot be counted.
            counts = [getattr(head, name, None) for name in ("num_things_classes", "num_classes")]
            return tuple(int(count) for count in counts if count is not None)
    return ()
