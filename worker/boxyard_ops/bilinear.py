"""Samples between the pixels of a feature map, and the way of their gradients back.

A sample up to one pixel beyond the centres at the edge takes the edge's value; one further out, or
at a place that is not a number, is zero and has no gradient.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["flatten_pixels", "sample", "spread", "widen"]


def widen(tensor: Tensor) -> Tensor:
    """Return half precision as single, in which places and sums are computed."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def flatten_pixels(features: Tensor) -> Tensor:
    """Return (B, C, H, W) as one row of channels a pixel, (B * H * W, C)."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def sample(pixels: Tensor, images: Tensor, y: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the channels at P places, (P, C).

    Args:
        pixels: see `flatten_pixels`.
        images: (P,) indices into B.
        y: (P,) in pixels, 0 is the first row's centre.
        x: (P,) likewise.
        size: H and W.
    """
    values = pixels.new_zeros(len(y), pixels.shape[1])
    first = images * (size[0] * size[1])
    for place, weight in find_corners(y, x, size):
        values += weight[:, None] * pixels[first + place]
    return values.where(lie_inside(y, x, size)[:, None], 0)


def spread(gradient: Tensor, planes: Tensor, y: Tensor, x: Tensor, maps: Tensor) -> None:
    """Add each sample's gradient to the pixels of `maps` that the sample was made of.

    Args:
        gradient: any shape, as `planes`, `y` and `x`.
        planes: which plane of the B * C.
        y: see `sample`.
        x: see `sample`.
        maps: (B, C, H, W).
    """
    height, width = size = (maps.shape[2], maps.shape[3])
    total = widen(torch.zeros_like(maps, memory_format=torch.contiguous_format))
    within = lie_inside(y, x, size)
    shares, first = gradient[within], planes.expand_as(y)[within] * (height * width)
    for place, weight in find_corners(y[within], x[within], size):
        total.view(-1).index_add_(0, first + place, (weight * shares).to(total.dtype))
    maps.add_(total)


def lie_inside(y: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Say which places have a value."""
    return (y >= -1) & (y <= size[0]) & (x >= -1) & (x <= size[1])


def find_corners(y: Tensor, x: Tensor, size: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the four pixels around each place, as indices into H * W, with their weights."""
    for row, row_weight in split(y, size[0]):
        for column, column_weight in split(x, size[1]):
            yield row * size[1] + column, row_weight * column_weight


def split(place: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the indices before and after each place on one axis, with their weights."""
    place = place.nan_to_num().clamp(0, size - 1)
    low = place.floor()
    part = place - low
    high = (low + 1).clamp(max=size - 1)
    return (low.long(), 1 - part), (high.long(), part)
