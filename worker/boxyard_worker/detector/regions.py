"""RTMDet-Ins masks, exact, computed only where they can be set.

mmdet resizes each instance's logits (a grid of cells, one in eight pixels of the model's input)
to the input's size and then to the picture's, applies a sigmoid and compares with a threshold,
for every pixel of every instance. Both resizes are linear and separable, so each axis is one
matrix, pixels by cells, of weights ≥ 0 whose rows sum to 1; and a pixel above the threshold
needs a cell above it among those that it is mixed from. So the rectangle of pixels that cells
above the threshold influence holds the whole mask. The few masks with a pixel so close to the
threshold that mmdet's rounding decides it are made mmdet's way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from boxyard_worker.detector.contract import CroppedMask

_ROUNDING: Final = 4e-7
"""Bound on mmdet's float32 rounding, as a share of the logits mixed: measured 2e-7, and spare."""

_SIGMOID: Final = 0.5
"""What the rounding of the sigmoid adds to the logits mixed, in the bound on the rounding."""


@dataclass(frozen=True)
class Frame:
    """The way from an instance's cells to the picture's pixels.

    Attributes:
        stride: pixels of the model's input per cell.
        resized: `(height, width)` in pixels that mmdet resizes the input's masks to.
        kept: `(height, width)` in pixels of what mmdet keeps of that.
        probability: pixels above it are set.
    """

    stride: int
    resized: tuple[int, int]
    kept: tuple[int, int]
    probability: float


@dataclass(frozen=True)
class Axis:
    """Both resizes along one axis.

    Attributes:
        weights: `(pixels, cells)` float64.
        pixels: for each cell, the first pixel it influences and one past the last, `(2, cells)`.
        cells: for each pixel, the first cell it is mixed from and one past the last, `(2, pixels)`.
    """

    weights: NDArray[np.float64]
    pixels: NDArray[np.int64]
    cells: NDArray[np.int64]

    def reach(self, first: int, last: int) -> tuple[slice, slice]:
        """The pixels that the cells first..last influence, and the cells those are mixed from."""
        low = int(self.pixels[0, first : last + 1].min())
        high = int(self.pixels[1, first : last + 1].max())
        if high <= low:  # the cells lie in the padding, which mmdet cuts off
            return slice(0, 0), slice(0, 0)
        return slice(low, high), slice(int(self.cells[0, low]), int(self.cells[1, high - 1]))


def cut_masks(logits: Tensor, frame: Frame) -> list[CroppedMask]:
    """The masks of one picture's instances.

    Args:
        logits: `(n, height, width)` in cells, on any device.
        frame: where the cells lie in the picture.
    """
    height, width = logits.shape[-2:]
    rows = compose_axis(height, frame.stride, frame.resized[0], frame.kept[0])
    columns = compose_axis(width, frame.stride, frame.resized[1], frame.kept[1])
    shifted = (logits - _logit(frame.probability)).float().cpu().numpy()
    return [
        _cut_mask(cells, rows, columns) or _make_whole(instance, frame)
        for instance, cells in zip(logits, shifted, strict=True)
    ]


@lru_cache(maxsize=256)
def compose_axis(cells: int, stride: int, resized: int, kept: int) -> Axis:
    """Composes the resize by `stride` and that to `resized` pixels, and keeps `kept` of these."""
    # Each weight as torch rounds it; their products are exact in float64.
    enlarge = _resize_basis(cells, cells * stride, scale_factor=(stride, 1))
    fit = _resize_basis(cells * stride, resized, size=(resized, 1))[:kept]
    weights = (fit @ enlarge).numpy()
    return Axis(weights, _spans(weights.T != 0), _spans(weights != 0))


def _resize_basis(inputs: int, outputs: int, **target: tuple[int, int]) -> Tensor:
    """What each input, at 1 among zeros, gives each output: `(outputs, inputs)` float64."""
    basis = torch.eye(inputs).view(1, inputs, inputs, 1)
    resized = functional.interpolate(basis, mode="bilinear", **target)  # type: ignore[arg-type]  # one of two
    return resized.view(inputs, outputs).T.double()


def _cut_mask(cells: NDArray[np.float32], rows: Axis, columns: Axis) -> CroppedMask | None:
    """One instance's mask, or None where mmdet's rounding decides a pixel of it."""
    above = cells > 0
    ys, xs = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if ys.size == 0:
        return CroppedMask(0, 0, 0, 0, b"")
    height, cell_rows = rows.reach(ys[0], ys[-1])
    width, cell_columns = columns.reach(xs[0], xs[-1])
    part = cells[cell_rows, cell_columns]
    if part.size == 0:
        return CroppedMask(0, 0, 0, 0, b"")
    mixed = _mix(part, rows.weights[height, cell_rows], columns.weights[width, cell_columns])
    return None if mixed is None else CroppedMask.pack(mixed, x=width.start, y=height.start)


def _mix(
    part: NDArray[np.float32], down: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """Which pixels are above 0, or None where mmdet's rounding decides that of one of them."""
    mixed = down.astype(np.float32) @ part @ across.astype(np.float32).T
    ys, xs = np.nonzero(np.abs(mixed) <= 4 * _ROUNDING * (1 + np.abs(part).max()))
    exact = ((down[ys] @ part) * across[xs]).sum(1)
    bound = ((down[ys] @ np.abs(part)) * across[xs]).sum(1)
    if (np.abs(exact) <= _ROUNDING * (_SIGMOID + bound)).any():
        return None
    mixed[ys, xs] = exact
    return mixed > 0


def _make_whole(logits: Tensor, frame: Frame) -> CroppedMask:
    """One instance's mask by mmdet's own arithmetic, in the picture's full size."""
    inputs = functional.interpolate(logits[None, None], scale_factor=frame.stride, mode="bilinear")
    picture = functional.interpolate(inputs, size=frame.resized, mode="bilinear")
    kept = picture[0, 0, : frame.kept[0], : frame.kept[1]]
    return CroppedMask.pack((kept.sigmoid() > frame.probability).cpu().numpy())


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1 - probability))


def _spans(touched: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and one past the last set column of each row; an empty row's span is empty."""
    length = touched.shape[1]
    first, last = touched.argmax(1), length - touched[:, ::-1].argmax(1)
    some = touched.any(1)
    return np.stack([np.where(some, first, length), np.where(some, last, 0)])
