"""Boxes for greedy loops: numpy's columns in single precision, in which mmcv computes."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["AREA", "SCORE", "Columns", "overlap", "to_columns"]

Columns = NDArray[np.float32]
"""(6, N): x1, y1, x2, y2, score, area."""
SCORE, AREA = 4, 5


def to_columns(boxes: Tensor, scores: Tensor, offset: int) -> Columns:
    """Return boxes (N, 4) and scores (N,) as columns; a side is x2 - x1 + `offset` pixels."""
    columns = np.empty((6, len(boxes)), np.float32)
    columns[:SCORE] = boxes.detach().cpu().float().numpy().T
    columns[SCORE] = scores.detach().cpu().float().numpy()
    width, height = columns[2:SCORE] - columns[:2] + offset
    columns[AREA] = width * height
    return columns


def overlap(box: Columns, boxes: Columns, offset: int) -> NDArray[np.float32]:
    """Return the IoU of one box, (6,), with others, (6, N): not a number where no area is."""
    start = np.maximum(box[:2, None], boxes[:2])
    end = np.minimum(box[2:SCORE, None], boxes[2:SCORE])
    width, height = np.maximum(end - start + offset, 0)
    shared = width * height
    ious: NDArray[np.float32] = shared / (box[AREA] + boxes[AREA] - shared)
    return ious
