"""mmdet's predicted instances → `RawDetections`, whichever head they came from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxyard_worker.detector.contract import CroppedMask, ModelImage, RawDetections
from boxyard_worker.detector.heads import cut
from boxyard_worker.detector.late import LateMasks, crop_masks


def collect(instances: Any, image: ModelImage) -> RawDetections:
    """Cuts to the request's limits and copies to host memory.

    Args:
        instances: mmdet's `InstanceData` with `scores`, `labels`, `bboxes` and perhaps masks:
            `cropped` where the head made them so, else `masks` of the picture's size or late.
        image: the picture that they were found in.
    """
    found = cut(instances, image)
    boxes = found.bboxes.float().cpu().numpy()
    boxless = len(boxes) > 0 and not boxes.any()  # SOLO and its like have masks alone
    masks = _masks(found, image) if image.masks or boxless else None
    if boxless and masks is not None:
        boxes = _surround(masks)
    return RawDetections(
        boxes,
        found.scores.float().cpu().numpy(),
        found.labels.long().cpu().numpy(),
        masks if image.masks else None,
        tuple(found.get("label_names", ())) if image.text is not None else None,
    )


def _masks(found: Any, image: ModelImage) -> tuple[CroppedMask, ...] | None:
    if "cropped" in found:
        return tuple(found.cropped)
    if "masks" not in found:
        return None
    if isinstance(found.masks, LateMasks):
        height, width = image.pixels.shape[:2]
        return tuple(found.masks.crop(max(height * width, image.height * image.width)))
    return tuple(crop_masks(found.masks))


def _surround(masks: tuple[CroppedMask, ...]) -> NDArray[np.float32]:
    """Each mask's rectangle as x1 y1 x2 y2, `(n, 4)`."""
    corners = [(m.x, m.y, m.x + m.width, m.y + m.height) for m in masks]
    return np.array(corners, np.float32).reshape(-1, 4)
