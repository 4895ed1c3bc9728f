"""Soft non-maximum suppression: a box lowers the scores of those that it overlaps.

It is a loop by nature, for the next best box is known only when the last has lowered the others.
What one box does to all others is done at once.
"""

from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxyard_ops.boxes import SCORE, Columns, overlap, to_columns

__all__ = ["softnms"]

Places = NDArray[np.int64]


class Method(IntEnum):
    """How a score falls with the overlap; the numbers are mmcv's."""

    NAIVE = 0
    """To zero at the threshold."""
    LINEAR = 1
    """By 1 - IoU from the threshold on."""
    GAUSSIAN = 2
    """By exp(-IoU² / sigma), everywhere."""


@np.errstate(all="ignore")
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Write what stays to the start of `dets`, best first, and return its indices, (K,).

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        dets: (N, 5) for boxes and lowered scores; all after the first K rows is left alone.
        iou_threshold: where `Method.NAIVE` and `Method.LINEAR` begin.
        sigma: the width of `Method.GAUSSIAN`.
        min_score: a box goes when a better one lowers its score to less than this.
        method: a `Method`.
        offset: 0, or 1 where the corners name pixels.
    """
    columns, order = to_columns(boxes, scores, offset), np.arange(len(boxes))
    kept, place = len(boxes), 0
    while place < kept:
        bring_best(columns[:, place:kept], order[place:kept])
        best, rest = columns[:, place], columns[:, place + 1 : kept]
        rest[SCORE] *= weigh(overlap(best, rest, offset), Method(method), iou_threshold, sigma)
        kept -= drop(rest, order[place + 1 : kept], rest[SCORE] < np.float32(min_score))
        place += 1
    indices = torch.from_numpy(order[:kept])
    dets[:kept, :4] = boxes[indices]
    dets[:kept, 4] = torch.from_numpy(columns[SCORE, :kept])
    return indices


def bring_best(columns: Columns, order: Places) -> None:
    """Exchange the first column with the first of the best; a score that is no number loses."""
    scores = columns[SCORE]
    best = int(scores.argmax())
    if best and np.isnan(scores[best]):
        best = int(np.nanargmax(scores))
    columns[:, [0, best]] = columns[:, [best, 0]]
    order[[0, best]] = order[[best, 0]]


def weigh(
    ious: NDArray[np.float32], method: Method, threshold: float, sigma: float
) -> NDArray[np.float32]:
    """Return what each score is multiplied by."""
    one = np.float32(1)
    if method is Method.GAUSSIAN:
        # numpy's exponential in single precision is two units off; this one is rounded right.
        exponents = np.float64(-(ious * ious) / np.float32(sigma))
        weights: NDArray[np.float32] = np.exp(exponents).astype(np.float32)
        return weights
    lowered = one - ious if method is Method.LINEAR else np.float32(0)
    return np.where(ious >= np.float32(threshold), lowered, one)


def drop(columns: Columns, order: Places, gone: NDArray[np.bool_]) -> int:
    """Fill the places of the columns that go with the last that stay, and say how many go.

    mmcv's loop puts the last column into each gap as it comes by, so the last fills the first gap:
    with equal scores the order decides which comes next.
    """
    stay = len(order) - int(gone.sum())
    gaps = np.flatnonzero(gone[:stay])
    fillers = stay + np.flatnonzero(~gone[stay:])[::-1]
    columns[:, gaps], order[gaps] = columns[:, fillers], order[fillers]
    return len(order) - stay
