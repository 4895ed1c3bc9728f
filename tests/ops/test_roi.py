"""Pooling of regions against loops over bins and samples."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import RoIAlign, roi_align, roi_pool
from torch import Tensor

from interpolation import interpolate

PIXEL = st.floats(-4, 20).map(lambda v: round(v, 2))
REGION = st.tuples(st.integers(0, 1), PIXEL, PIXEL, st.floats(0.5, 12), st.floats(0.5, 12))


def to_rois(regions: list[tuple[float, ...]]) -> Tensor:
    rows = [(i, x, y, x + w, y + h) for i, x, y, w, h in regions]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)


def align(
    features: Tensor, roi: Tensor, *, mode: str, size: int, scale: float, ratio: int, aligned: bool
) -> Tensor:
    """Take the average or the maximum of each bin's samples in one region, (C, size, size)."""
    x1, y1, x2, y2 = (float(v) * scale - 0.5 * aligned for v in roi[1:])
    high, wide = y2 - y1, x2 - x1
    if not aligned:
        high, wide = max(high, 1), max(wide, 1)
    rows, columns = ratio or math.ceil(high / size), ratio or math.ceil(wide / size)
    out = torch.zeros(features.shape[1], size, size, dtype=features.dtype)
    for c, i, j in product(range(len(out)), range(size), range(size)):
        samples = [
            interpolate(
                features[int(roi[0]), c],
                y1 + (i + (p + 0.5) / rows) * high / size,
                x1 + (j + (q + 0.5) / columns) * wide / size,
            )
            for p, q in product(range(rows), range(columns))
        ]
        out[c, i, j] = max(samples) if mode == "max" else sum(samples) / len(samples)
    return out


def pool(features: Tensor, roi: Tensor, size: int, scale: float) -> Tensor:
    """Take the largest feature of each bin of one region, (C, size, size)."""
    x1, y1, x2, y2 = (math.floor(float(v) * scale + 0.5) for v in roi[1:])
    high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
    plane = features[int(roi[0])]
    out = torch.zeros(len(plane), size, size, dtype=features.dtype)
    for i, j in product(range(size), range(size)):
        top, left = (
            max(y1 + math.floor(i * high / size), 0),
            max(x1 + math.floor(j * wide / size), 0),
        )
        bottom = max(y1 + math.ceil((i + 1) * high / size), 0)
        right = max(x1 + math.ceil((j + 1) * wide / size), 0)
        cell = plane[:, top:bottom, left:right].flatten(1)
        if cell.numel():
            out[:, i, j] = cell.amax(1)
    return out


@pytest.mark.parametrize("mode", ["avg", "max"])
@settings(deadline=None, max_examples=40)
@given(
    regions=st.lists(REGION, max_size=3),
    size=st.integers(1, 3),
    scale=st.sampled_from([1.0, 0.5]),
    ratio=st.integers(0, 2),
    aligned=st.booleans(),
)
def test_roi_align_pools_the_samples_of_each_bin(
    device, mode, *, regions, size, scale, ratio, aligned
):
    features = torch.rand(2, 2, 7, 9, dtype=torch.float64) - 0.5
    rois = to_rois(regions)
    layer = RoIAlign(size, scale, ratio, mode, aligned)
    got = layer(features.to(device), rois.to(device)).cpu()
    how = {"mode": mode, "size": size, "scale": scale, "ratio": ratio, "aligned": aligned}
    want = [align(features, roi, **how) for roi in rois]
    torch.testing.assert_close(got, torch.stack(want) if want else torch.zeros_like(got))


@settings(deadline=None, max_examples=40)
@given(
    regions=st.lists(
        st.tuples(st.integers(0, 1), *[st.integers(-3, 9)] * 2, *[st.integers(0, 9)] * 2),
        max_size=3,
    ),
    size=st.sampled_from([1, 2, 4]),
)
def test_roi_pool_takes_the_largest_of_each_bin(regions, size):
    features = torch.rand(2, 2, 7, 9, dtype=torch.float64) - 2
    rois = to_rois(regions)
    want = [pool(features, roi, size, 1.0) for roi in rois]
    got = roi_pool(features, rois, size, 1.0)
    torch.testing.assert_close(got, torch.stack(want) if want else torch.zeros_like(got))


def align_maximum(features, rois, size, scale):
    return roi_align(features, rois, size, scale, 0, "max")


OPERATORS = pytest.mark.parametrize(
    "operator", [roi_align, align_maximum, roi_pool], ids=["average", "maximum", "pool"]
)


@OPERATORS
def test_the_gradient_of_the_features_is_right(operator):
    features = torch.rand(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    rois = to_rois([(0, 1.3, 0.6, 4.1, 5.2), (1, -2, 1, 6, 4)])
    assert torch.autograd.gradcheck(lambda f: operator(f, rois, (2, 3), 0.75), (features,))


@OPERATORS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_region_without_a_place_pools_to_zero_beside_good_ones(device, operator, value):
    features = torch.rand(1, 2, 6, 7, device=device, requires_grad=True)
    good = [0.0, 1, 1, 5, 5]
    bad = [[0, 1, 1, value, 5], [0, *[value] * 4], [value] * 5]
    rois = torch.tensor([good, *bad], device=device)
    pooled = operator(features, rois, 2, 1.0)
    assert torch.equal(pooled[0], operator(features, rois[:1], 2, 1.0)[0])
    assert not pooled[1:].any()
    (gradient,) = torch.autograd.grad(pooled.sum(), features)
    (alone,) = torch.autograd.grad(operator(features, rois[:1], 2, 1.0).sum(), features)
    assert torch.equal(gradient, alone)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_maximum_in_half_precision_is_that_of_single_rounded(device, aligned):
    features = torch.randn(2, 3, 9, 9, device=device).half()
    rois = to_rois([(0, 1.5, 0.5, 6, 5.25), (1, -2, 1, 6, 4)]).to(device).half()
    layer = RoIAlign((2, 3), 0.5, 0, "max", aligned)
    assert torch.equal(layer(features, rois), layer(features.float(), rois.float()).half())


def test_the_maximum_passes_over_features_that_are_no_number(device):
    features = torch.zeros(1, 1, 4, 4, device=device)
    features[0, 0, 1, 1], features[0, 0, 3, 3] = math.nan, 2.0
    pooled = roi_align(features, torch.tensor([[0.0, 0, 0, 4, 4]], device=device), 1, 1.0, 4, "max")
    assert pooled.item() == 2


def test_a_bin_without_samples_has_the_least_number_of_mmcv_and_no_gradient(device):
    features = torch.rand(1, 1, 4, 4, device=device, requires_grad=True)
    pooled = align_maximum(features, torch.tensor([[0.0, 2, 2, 2, 2]], device=device), 1, 1.0)
    assert pooled.item() <= -10_000
    pooled.sum().backward()
    assert features.grad is not None
    assert not features.grad.any()
