"""Deformable pooling of regions: RoIAlign whose bins are each moved by an offset of their own.

mmcv's modulated form multiplies the bins with a mask afterwards and needs no operator more.

Shapes: features (B, C, H, W); rois (N, 5) as image index, x1, y1, x2, y2 in pixels of the image;
offset (N, 2, pooled_height, pooled_width) as x, y in widths and heights of the region times
`gamma`, or empty; output (N, C, pooled_height, pooled_width). A region or an offset that is not
finite pools to zero and has no gradient.
"""

# The argument lists are mmcv's.
# ruff: noqa: PLR0917

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["deform_roi_pool_backward", "deform_roi_pool_forward"]

PIECE = 2**22
"""Samples times channels that are held at once: 16 MiB in single precision."""


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Write the average of bilinear samples in each moved bin of each region to `output`.

    Args:
        input: the features.
        rois: the regions.
        offset: the bins' offsets.
        output: see the module.
        pooled_height: bins down a region.
        pooled_width: bins across a region.
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples a bin on each axis; 0 takes as many as the bin has pixels.
        gamma: what all offsets are multiplied with.
    """
    bins = (pooled_height, pooled_width)
    output.copy_(pool(input, rois, offset, bins, spatial_scale, sampling_ratio, gamma))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Add the gradients of features and offsets to `grad_input` and `grad_offset`.

    The other arguments are those of `deform_roi_pool_forward`.
    """
    bins = (pooled_height, pooled_width)
    leaves = [tensor.detach().requires_grad_() for tensor in (input, offset)]
    with torch.enable_grad():
        output = pool(leaves[0], rois, leaves[1], bins, spatial_scale, sampling_ratio, gamma)
    if not output.requires_grad:  # no region has a sample
        return
    by_input, by_offset = torch.autograd.grad(output, leaves, grad_output, materialize_grads=True)
    grad_input.add_(by_input)
    grad_offset.add_(by_offset)


def pool(
    features: Tensor,
    rois: Tensor,
    offset: Tensor,
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    gamma: float,
) -> Tensor:
    """Return the pooled regions. Positions are in single precision at least, unlike mmcv's."""
    maps = features.to(torch.promote_types(features.dtype, torch.float32))
    finite = rois.isfinite().all(dim=1, keepdim=True)
    regions = torch.where(finite, rois, 0).to(maps.dtype)
    corners = regions[:, 1:] * scale - 0.5
    sizes = corners[:, 2:] - corners[:, :2]
    cells = sizes / sizes.new_tensor(bins[::-1])
    starts = corners[:, :2, None, None].expand(-1, -1, *bins)
    if offset.numel():
        starts = starts + (gamma * sizes)[:, :, None, None] * offset.to(maps.dtype)
    starts = starts + number(bins).to(sizes) * cells[:, :, None, None]
    counts = torch.full_like(sizes, ratio) if ratio > 0 else cells.ceil()
    output = maps.new_zeros(len(rois), features.shape[1], *bins)
    for image, grid, rows in pieces(regions[:, :1], counts * finite, output[:1].numel()):
        places = [
            starts[rows, axis, ..., None] + divide(cells[rows, axis, None, None, None], grid[axis])
            for axis in (0, 1)
        ]
        output[rows] = average(maps[image], *places)
    return output


def number(bins: tuple[int, int]) -> Tensor:
    """Return the place of each bin in its region, x before y, (2, pooled_height, pooled_width)."""
    rows, columns = torch.meshgrid(*map(torch.arange, bins), indexing="ij")
    return torch.stack([columns, rows])


def divide(cells: Tensor, samples: int) -> Tensor:
    """Return how far each of a bin's samples is from its start, (…, samples), given its size."""
    return (torch.arange(samples).to(cells) + 0.5) * cells / samples


def pieces(
    images: Tensor, counts: Tensor, bins: int
) -> Iterator[tuple[int, tuple[int, int], Tensor]]:
    """Yield image, samples a bin across and down, and the regions that share these.

    No more regions come at once than `PIECE` allows, when each has `bins` bins in all channels.
    """
    kinds = defaultdict(list)
    for row, (image, *grid) in enumerate(torch.cat([images, counts], dim=1).long().tolist()):
        kinds[image, *grid].append(row)
    for (image, across, down), rows in kinds.items():
        if across > 0 and down > 0:
            regions = torch.tensor(rows, device=images.device)
            for some in torch.split(regions, max(PIECE // (bins * across * down), 1)):
                yield image, (across, down), some


def average(features: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Average the samples of (C, H, W) in each bin; zero for those over a pixel outside.

    Args:
        features: one image's.
        x: the columns of the samples, (N, pooled_height, pooled_width, samples across).
        y: the rows, (N, pooled_height, pooled_width, samples down).

    Returns:
        (N, C, pooled_height, pooled_width).
    """
    (x, x_inside), (y, y_inside) = map(normalise, (x, y), features.shape[:0:-1])
    inside = x_inside[..., None, :] & y_inside[..., None]
    grid = torch.stack([x[..., None, :].expand_as(inside), y[..., None].expand_as(inside)], dim=-1)
    samples = functional.grid_sample(
        features[None], grid.flatten(0, 2).flatten(1, 2)[None], "bilinear", "border", False
    )
    averages = torch.where(inside, samples.view(len(features), *inside.shape), 0).mean((4, 5))
    return averages.transpose(0, 1)


def normalise(places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the places with -1..1 spanning an axis, and which are at most a pixel outside it.

    The others, and those that are not a number, go to 0, so that no gradient leads to them.
    """
    inside = (places >= -1) & (places <= size)
    return (2 * torch.where(inside, places, 0) + 1) / size - 1, inside
