"""RTMDet-Ins masks, exact, computed only where they can be set.

mmdet resizes each instance's logits (a grid of cells, one in eight pixels of the model's input)
to the input's size and then to the picture's, applies a sigmoid and compares with a threshold,
for every pixel of every instance. Both resizes are linear and separable, so each axis is one
matrix, pixels by cells, of weights ≥ 0 whose rows sum to 1; and a pixel above the threshold
needs a cell above it among those that it is mixed from. So the rectangle of pixels that cells
above the threshold influence holds the whole mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from boxyard_worker.detector.contract import CroppedMask


@dataclass(frozen=True)
class Axis:
    """Both resizes along one axis.

    Attributes:
        weights: `(pixels, cells)` float32.
        pixels: for each cell, the first pixel it influences and one past the last, `(2, cells)`.
        cells: for each pixel, the first cell it is mixed from and one past the last, `(2, pixels)`.
    """

    weights: NDArray[np.float32]
    pixels: NDArray[np.int64]
    cells: NDArray[np.int64]

    def reach(self, first: int, last: int) -> tuple[slice, slice]:
        """The pixels that the cells first..last influence, and the cells those are mixed from."""
        low = int(self.pixels[0, first : last + 1].min())
        high = int(self.pixels[1, first : last + 1].max())
        if high <= low:  # the cells lie in the padding, which mmdet cuts off
            return slice(0, 0), slice(0, 0)
        return slice(low, high), slice(int(self.cells[0, low]), int(self.cells[1, high - 1]))


@lru_cache(maxsize=256)
def compose_axis(cells: int, stride: int, resized: int, kept: int) -> Axis:
    """Composes the resize of cells by `stride`, then to `resized` pixels; keeps the first `kept`."""
    basis = torch.eye(cells).unsqueeze(0)
    inputs = functional.interpolate(basis, scale_factor=stride, mode="linear")
    outputs = functional.interpolate(inputs, size=resized, mode="linear", align_corners=False)
    weights = outputs[0, :, :kept].T.contiguous().numpy()
    return Axis(weights, _spans(weights.T != 0), _spans(weights != 0))


def cut_mask(
    logits: NDArray[np.float32], rows: Axis, columns: Axis, threshold: float
) -> CroppedMask:
    """The mask of one instance.

    Args:
        logits: `(cells, cells)`.
        rows: the picture's vertical axis.
        columns: the picture's horizontal axis.
        threshold: a logit; pixels above it are set.
    """
    above = logits > threshold
    ys, xs = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if ys.size == 0:
        return CroppedMask(0, 0, 0, 0, b"")
    height, cell_rows = rows.reach(ys[0], ys[-1])
    width, cell_columns = columns.reach(xs[0], xs[-1])
    mixed = rows.weights[height, cell_rows] @ logits[cell_rows, cell_columns]
    mixed = mixed @ columns.weights[width, cell_columns].T
    return CroppedMask.pack(mixed > threshold, x=width.start, y=height.start)


def logit(probability: float) -> float:
    """The number whose sigmoid is this probability."""
    if not 0 < probability < 1:
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1 - probability))


def _spans(touched: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and one past the last set column of each row; an empty row's span is empty."""
    length = touched.shape[1]
    first, last = touched.argmax(1), length - touched[:, ::-1].argmax(1)
    some = touched.any(1)
    return np.stack([np.where(some, first, length), np.where(some, last, 0)])
