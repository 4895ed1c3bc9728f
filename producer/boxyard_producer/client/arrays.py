"""Instances as numpy arrays. Needs the extra `arrays`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxyard_schemas import ImageSuccess

from .coco import corners
from .masks import draw_masks


@dataclass(frozen=True, eq=False)
class Arrays:
    """The n instances of a picture, best score first.

    Attributes:
        boxes: `(n, 4)`, x1, y1, x2, y2 in pixels.
        scores: `(n,)`, from 0 to 1.
        label_ids: `(n,)`.
        labels: `(n,)`, names.
        masks: `(n, height, width)`; none where the result has no masks.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    label_ids: NDArray[np.int64]
    labels: NDArray[np.str_]
    masks: NDArray[np.bool_] | None


def write_arrays(image: ImageSuccess, *, masks: bool) -> Arrays:
    """Every instance of a picture.

    Args:
        image: the picture.
        masks: whether they are wanted, where there are any.
    """
    boxes = [corners(found, image.image) for found in image.boxes]
    return Arrays(
        boxes=np.array([(b.x1, b.y1, b.x2, b.y2) for b in boxes], np.float32).reshape(-1, 4),
        scores=np.array([found.score for found in image.boxes], np.float32),
        label_ids=np.array([found.label_id for found in image.boxes], np.int64),
        labels=np.array([found.label for found in image.boxes], np.str_),
        masks=draw_masks(image) if masks else None,
    )
