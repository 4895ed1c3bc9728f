"""RoIAlign with the maximum, which torchvision's kernel does not have.

Each bin of a region has a grid of bilinear samples. Shapes and meanings are those of
`boxyard_ops.roi`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from boxyard_ops.bilinear import flatten_pixels, sample, spread, widen

__all__ = ["align_maximum", "return_maximum"]

NOWHERE = -1.0
"""The place of the maximum in a bin without one."""
X, Y = 0, 1


def align_maximum(
    features: Tensor,
    rois: Tensor,
    shape: tuple[int, int],
    *,
    scale: float,
    ratio: int,
    aligned: bool,
) -> Tensor:
    """Return the largest sample of each bin with its y and x, (3, N, C, *shape).

    A bin without samples has mmcv's least number, and so has one whose samples are all less.
    """
    bins = divide(rois, shape, scale=scale, ratio=ratio, aligned=aligned)
    best = widen(features).new_full((3, len(rois), *shape, features.shape[1]), NOWHERE)
    best[0] = -10_000 if features.device.type == "cpu" else torch.finfo(torch.float32).min
    climb(best, features, rois[:, 0].nan_to_num().long(), bins)
    finite = rois.isfinite().all(dim=1)
    best[0] = best[0].where(finite[:, None, None, None], 0)
    return best.permute(0, 1, 4, 2, 3)


@dataclass(frozen=True)
class Bins:
    """The bins of N regions, as x, y, (N, 2): the first one's start, the size, the samples."""

    start: Tensor
    size: Tensor
    samples: Tensor

    def locate(self, regions: Tensor, axis: int, count: int, sample: int) -> Tensor:
        """Return the place of a sample in each of `count` bins on an axis, (regions, count)."""
        start, size, samples = (
            values[regions, axis, None] for values in (self.start, self.size, self.samples)
        )
        places = torch.arange(count, device=size.device) * size
        return start + places + (sample + 0.5) * size / samples


def divide(
    rois: Tensor, shape: tuple[int, int], *, scale: float, ratio: int, aligned: bool
) -> Bins:
    """Divide the regions into bins, `shape` says how many down and across.

    A region that is not finite gets bins without samples.
    """
    finite = rois.isfinite().all(dim=1, keepdim=True)
    corners = widen(rois[:, 1:].where(finite, 0)) * scale - 0.5 * aligned
    sides = corners[:, 2:] - corners[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    size = sides / sides.new_tensor((shape[1], shape[0]))
    samples = torch.full_like(size, ratio) if ratio > 0 else size.ceil()
    return Bins(corners[:, :2], size, samples * finite)


def climb(best: Tensor, features: Tensor, images: Tensor, bins: Bins) -> None:
    """Raise `best`, (3, N, rows, columns, C), to the largest samples, the first of equal ones."""
    _, _, rows, columns, channels = best.shape
    pixels, size = flatten_pixels(widen(features)), (features.shape[2], features.shape[3])
    for step_y, step_x in count_steps(bins.samples):
        more = (bins.samples[:, Y] > step_y) & (bins.samples[:, X] > step_x)
        regions = more.nonzero()[:, 0]
        y = bins.locate(regions, Y, rows, step_y)[:, :, None].expand(-1, -1, columns)
        x = bins.locate(regions, X, columns, step_x)[:, None].expand(-1, rows, -1)
        owners = images[regions, None, None].expand_as(y)
        values = sample(pixels, owners.flatten(), y.flatten(), x.flatten(), size)
        places = [place[..., None].expand(-1, -1, -1, channels) for place in (y, x)]
        found = torch.stack([values.view(places[0].shape), *places])
        known = best[:, regions]
        best[:, regions] = found.where(found[0] > known[0], known)


def count_steps(samples: Tensor) -> Iterator[tuple[int, int]]:
    """Return the samples of the finest grid, row by row."""
    across, down = samples.amax(dim=0).tolist() if len(samples) else (0, 0)
    return product(range(int(down)), range(int(across)))


def return_maximum(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_features: Tensor
) -> None:
    """Add the gradient of the features, at the places of the maxima, to `grad_features`."""
    images, channels = rois[:, 0].nan_to_num().long(), grad_features.shape[1]
    planes = images[:, None] * channels + torch.arange(channels, device=rois.device)
    known = argmax_y != NOWHERE
    spread(
        grad_output[known],
        planes[:, :, None, None].expand_as(known)[known],
        widen(argmax_y[known]),
        widen(argmax_x[known]),
        grad_features,
    )
