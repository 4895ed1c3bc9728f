"""Border pooling: the largest feature along each side of a box.

Shapes: features (B, 4 * C, H, W), a quarter of the channels for each side: top, left, bottom,
right; boxes (B, K, 4) as x1, y1, x2, y2 in pixels of the features; output and argmax_idx
(B, C, K, 4). Each side is sampled at `pool_size` + 1 places, its ends included. A box that is not
finite pools to zero and has no gradient.
"""

import torch
from torch import Tensor

from boxyard_ops.bilinear import flatten_pixels, sample, spread, widen
from boxyard_ops.outside import OUTSIDE

__all__ = ["border_align_backward", "border_align_forward"]

FIRST, LAST = slice(0, 2), slice(2, 4)
SIDES = ((FIRST, (1, 0)), (FIRST, (0, 1)), (LAST, (-1, 0)), (LAST, (0, -1)))
"""For each side the corner that the walk along it starts from, and where it goes on x and y."""


def border_align_forward(
    features: Tensor, boxes: Tensor, output: Tensor, argmax_idx: Tensor, *, pool_size: int
) -> None:
    """Write the largest sample of each side to `output`, and which it was to `argmax_idx`."""
    for side, quarter in enumerate(widen(features).chunk(4, dim=1)):
        found = walk(quarter, boxes, side, pool_size)
        for tensor, values in zip((output, argmax_idx), found, strict=True):
            tensor[..., side] = values.view(*boxes.shape[:2], -1).transpose(1, 2)


def walk(features: Tensor, boxes: Tensor, side: int, pool_size: int) -> tuple[Tensor, Tensor]:
    """Return the largest sample along a side, (B * K, C), and the first place that has it."""
    pixels, size = flatten_pixels(features), (features.shape[2], features.shape[3])
    images = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
    (x, y), (step_x, step_y) = plan(boxes, side, pool_size)
    largest = sample(pixels, images, y, x, size)
    places = torch.zeros_like(largest, dtype=torch.int32)
    for place in range(1, pool_size + 1):
        x, y = x + step_x, y + step_y
        values = sample(pixels, images, y, x, size)
        better = values > largest
        largest, places = values.where(better, largest), places.masked_fill(better, place)
    return largest, places


def plan(boxes: Tensor, side: int, pool_size: int) -> tuple[Tensor, Tensor]:
    """Return start and step of the walks along a side, both (2, B * K) as x, y."""
    finite = boxes.isfinite().all(dim=2, keepdim=True)
    corners = widen(boxes.where(finite, OUTSIDE)).flatten(0, 1).T
    start, direction = SIDES[side]
    step = (corners[LAST] - corners[FIRST]) / pool_size
    return corners[start], step * step.new_tensor(direction)[:, None]


def border_align_backward(
    grad_output: Tensor, boxes: Tensor, argmax_idx: Tensor, grad_features: Tensor, *, pool_size: int
) -> None:
    """Add the gradient of the features to `grad_features`."""
    images, quarter, count, _ = grad_output.shape
    planes = torch.arange(images * 4 * quarter, device=boxes.device).view(images, 4, quarter, 1)
    for side in range(4):
        start, step = (
            ends.view(2, images, 1, count).unbind() for ends in plan(boxes, side, pool_size)
        )
        x, y = (begin + by * argmax_idx[..., side] for begin, by in zip(start, step, strict=True))
        spread(grad_output[..., side], planes[:, side], y, x, grad_features)
