"""CARAFE: upsampling with a kernel for each output pixel ("content-aware reassembly of features").

An output pixel is the weighted sum of the K x K input pixels around the one that it lies in; those
outside the map are left out.

Shapes: features (B, C, H, W); masks (B, G * K * K, H * S, W * S), the kernels, one for each group
of C / G channels; output (B, C, H * S, W * S). `routput`, `rmasks` and `rgrad_…` are scratch space
of mmcv's kernels and not used here.
"""

# The argument lists are mmcv's.
# ruff: noqa: PLR0917

from collections.abc import Iterator
from itertools import product
from types import EllipsisType

from torch import Tensor

__all__ = [
    "carafe_backward",
    "carafe_forward",
    "carafe_naive_backward",
    "carafe_naive_forward",
]

PIECE = 16
"""Channels that are worked on together: a sixteenth of a usual map is held a second time, while
unfolding would hold K * K outputs. Fewer are no slower, since a piece stays in a CPU's cache."""

Place = tuple[EllipsisType, slice, slice]


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    **call: int,
) -> None:
    """Write the upsampled features to `output`, and to `rfeatures` what `carafe_backward` reads."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, **call)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    **call: int,
) -> None:
    """Add the gradients of features and masks to `grad_input` and `grad_masks`."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, **call)


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    *,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the upsampled features to `output`. `group_size` is the number of groups."""
    kernels = by_phase(masks, scale_factor).contiguous()
    steps = list(walk(kernel_size, *features.shape[2:]))
    for group, channels in pieces(features.shape[1], group_size):
        pixels = features[:, channels].transpose(0, 1)[:, :, None, None]
        sums = features.new_zeros(len(pixels), *kernels.shape[1:])
        for tap, (here, there) in enumerate(steps, group * len(steps)):
            sums[here].addcmul_(pixels[there], kernels[tap][here])
        by_phase(output[:, channels], scale_factor).copy_(sums)


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    *,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of features and masks to `grad_input` and `grad_masks`."""
    kernels, grad_kernels = (by_phase(maps, scale_factor) for maps in (masks, grad_masks))
    steps = list(walk(kernel_size, *features.shape[2:]))
    for group, channels in pieces(features.shape[1], group_size):
        pixels = features[:, channels].transpose(0, 1)[:, :, None, None]
        grad_pixels = grad_input[:, channels].transpose(0, 1)
        grads = by_phase(grad_output[:, channels], scale_factor).contiguous()
        for tap, (here, there) in enumerate(steps, group * len(steps)):
            grad_kernels[tap][here] += (grads[here] * pixels[there]).sum(0)
            grad_pixels[there] += (grads[here] * kernels[tap][here]).sum((2, 3))


def by_phase(maps: Tensor, scale: int) -> Tensor:
    """View maps (B, C, H * scale, W * scale) as (C, B, scale, scale, H, W).

    What lies in one input pixel is then a layer each, so that the sums run over long rows.
    """
    images, channels, height, width = maps.shape
    cells = maps.view(images, channels, height // scale, scale, width // scale, scale)
    return cells.permute(1, 0, 3, 5, 2, 4)


def pieces(channels: int, groups: int) -> Iterator[tuple[int, slice]]:
    """Cut the channels into runs of at most `PIECE`, none of two groups; yield group and run."""
    size = channels // groups
    for group, start in product(range(groups), range(0, size, PIECE)):
        first = group * size
        yield group, slice(first + start, first + min(start + PIECE, size))


def walk(kernel: int, height: int, width: int) -> Iterator[tuple[Place, Place]]:
    """Yield, for each kernel tap, the pixels it serves and those it reads, where both exist."""
    reach = range(-(kernel // 2), kernel // 2 + 1)
    for down, right in product(reach, reach):
        rows, columns = overlap(height, down), overlap(width, right)
        yield (..., rows[0], columns[0]), (..., rows[1], columns[1])


def overlap(size: int, step: int) -> tuple[slice, slice]:
    """Return the places of an axis that have another one `step` further on, and those others."""
    length, here, there = max(size - abs(step), 0), max(-step, 0), max(step, 0)
    return slice(here, here + length), slice(there, there + length)
