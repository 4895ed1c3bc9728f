"""Instances as supervision's detections. Needs the extra `supervision`."""

from __future__ import annotations

import numpy as np
from supervision import Detections

from boxyard_schemas import ImageSuccess

from .arrays import write_arrays


def write_detections(image: ImageSuccess, *, masks: bool) -> Detections:
    """Every instance of a picture.

    Args:
        image: the picture.
        masks: whether they are wanted, where there are any.
    """
    arrays = write_arrays(image, masks=masks)
    return Detections(
        xyxy=arrays.boxes,
        mask=arrays.masks,
        confidence=arrays.scores,
        class_id=arrays.label_ids,
        data={"class_name": np.asarray(arrays.labels)},
    )
