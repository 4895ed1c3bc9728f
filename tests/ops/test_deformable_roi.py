"""Deformable pooling of regions against a loop over bins and samples."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import (
    DeformRoIPool,
    DeformRoIPoolPack,
    ModulatedDeformRoIPoolPack,
    RoIAlign,
    deform_roi_pool,
)
from torch import Tensor

from interpolation import interpolate

PIXEL = st.integers(-8, 40).map(lambda v: v / 2)
SIDE = st.integers(-2, 24).map(lambda v: v / 2)
REGION = st.tuples(st.integers(0, 1), PIXEL, PIXEL, SIDE, SIDE)


def to_rois(regions: list[tuple[float, ...]]) -> Tensor:
    rows = [(i, x, y, x + w, y + h) for i, x, y, w, h in regions]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)


def pool(
    features: Tensor, roi: Tensor, offset: Tensor, *, scale: float, ratio: int, gamma: float
) -> Tensor:
    """Pool one region slowly, (C, PH, PW); offset (2, PH, PW) as x, y."""
    high, wide = offset.shape[1:]
    out = torch.zeros(features.shape[1], high, wide, dtype=features.dtype)
    x1, y1, x2, y2 = (float(v) * scale - 0.5 for v in roi[1:])
    tall, broad = (y2 - y1) / high, (x2 - x1) / wide
    rows, columns = ratio or math.ceil(tall), ratio or math.ceil(broad)
    for c, i, j in product(*map(range, out.shape)):
        top = y1 + gamma * (y2 - y1) * float(offset[1, i, j]) + i * tall
        left = x1 + gamma * (x2 - x1) * float(offset[0, i, j]) + j * broad
        samples = [
            interpolate(
                features[int(roi[0]), c],
                top + (p + 0.5) * tall / rows,
                left + (q + 0.5) * broad / columns,
            )
            for p, q in product(range(rows), range(columns))
        ]
        out[c, i, j] = sum(samples) / max(len(samples), 1)
    return out


@settings(deadline=None, max_examples=40)
@given(
    regions=st.lists(REGION, max_size=3),
    bins=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    scale=st.sampled_from([1.0, 0.5]),
    ratio=st.integers(0, 2),
    gamma=st.sampled_from([0.1, 1.0]),
    moved=st.booleans(),
)
def test_each_moved_bin_averages_its_samples(device, regions, bins, moved, **how):
    features = torch.rand(2, 2, 7, 9, dtype=torch.float64)
    rois = to_rois(regions)
    offset = torch.randn(len(rois), 2, *bins, dtype=torch.float64) * moved
    layer = DeformRoIPool(bins, how["scale"], how["ratio"], how["gamma"])
    got = layer(features.to(device), rois.to(device), offset.to(device) if moved else None)
    want = [pool(features, *one, **how) for one in zip(rois, offset, strict=True)]
    torch.testing.assert_close(got.cpu(), torch.stack(want) if want else torch.zeros_like(got))


@pytest.mark.parametrize("ratio", [0, 2])
def test_without_offsets_it_is_roi_align(device, ratio):
    features = torch.rand(2, 3, 20, 25, device=device)
    corners = torch.rand(40, 2, 2, device=device).mul(120).sort(dim=1).values.flatten(1)
    rois = torch.cat([torch.arange(40, device=device)[:, None] % 2, corners], dim=1)
    got = deform_roi_pool(features, rois, None, (7, 7), 0.25, ratio, 0.1)
    torch.testing.assert_close(
        got, RoIAlign((7, 7), 0.25, ratio, aligned=True)(features, rois), rtol=1e-4, atol=1e-5
    )


def test_the_gradients_of_features_and_offsets_are_right(device):
    features = torch.rand(2, 2, 6, 7, dtype=torch.float64, device=device, requires_grad=True)
    rois = to_rois([(0, 1.3, 0.6, 2.8, 4.6), (1, -2, 1, 8, 3), (1, 3, 3, -1, 1)]).to(device)
    offset = torch.randn(3, 2, 2, 3, dtype=torch.float64, device=device) * 0.3
    assert torch.autograd.gradcheck(
        lambda f, o: deform_roi_pool(f, rois, o, (2, 3), 1.0, 0, 0.5),
        (features, offset.requires_grad_()),
    )
    assert torch.autograd.gradcheck(
        lambda f: deform_roi_pool(f, rois, None, (2, 3), 1.0, 0, 0.5), (features,)
    )


def test_regions_without_a_sample_have_no_gradient():
    features = torch.rand(1, 2, 6, 7, requires_grad=True)
    pooled = deform_roi_pool(features, torch.tensor([[0.0, 4, 4, 4, 4]]), None, (2, 2))
    assert not pooled.any()
    assert not torch.autograd.grad(pooled.sum(), features)[0].any()


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_has_no_place_pools_to_zero_beside_what_has(device, value, ratio):
    features = torch.rand(1, 2, 6, 7, device=device, requires_grad=True)
    good = [0.0, 1, 1, 5, 5]
    rois = torch.tensor([good, [0, 1, 1, value, 5], [value] * 5, good], device=device)
    offset = torch.rand(4, 2, 2, 2, device=device)
    offset[3, 1, 0, 1] = value
    pooled = deform_roi_pool(features, rois, offset.requires_grad_(), (2, 2), 1.0, ratio)
    gradients = torch.autograd.grad(pooled.sum(), (features, offset))
    assert pooled[0].all()
    assert not pooled[1:3].any()
    assert not pooled[3, :, 0, 1].any()
    assert pooled[3, :, 1].all()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[1][3, :, 0, 1].any()


def test_a_great_many_samples_come_in_pieces_and_are_the_same(device, monkeypatch):
    features = torch.rand(2, 4, 30, 30, device=device)
    rois = to_rois([(i % 2, i, i, 11, 13) for i in range(12)]).float().to(device)
    offset = torch.rand(12, 2, 3, 3, device=device)
    whole = deform_roi_pool(features, rois, offset, (3, 3))
    monkeypatch.setattr("boxyard_ops.deformable_roi.PIECE", 1)
    assert torch.equal(deform_roi_pool(features, rois, offset, (3, 3)), whole)


@pytest.mark.parametrize("pack", [DeformRoIPoolPack, ModulatedDeformRoIPoolPack])
def test_the_packs_of_mmcv_move_their_bins_and_weigh_them(device, pack):
    torch.manual_seed(0)
    layer = pack(2, 3, deform_fc_channels=8, spatial_scale=0.5).to(device)
    layer.offset_fc[-1].bias.data.normal_()
    features = torch.rand(1, 3, 8, 9, device=device)
    rois = torch.tensor([[0.0, 2, 3, 11, 12], [0, 1, 1, 9, 16]], device=device)
    still = deform_roi_pool(features, rois, None, (2, 2), 0.5).flatten(1)
    offset = layer.offset_fc(still).detach().view(2, 2, 2, 2).cpu()
    how = {"scale": 0.5, "ratio": 0, "gamma": 0.1}
    want = [pool(features.cpu(), *one, **how) for one in zip(rois.cpu(), offset, strict=True)]
    weight = 0.5 if pack is ModulatedDeformRoIPoolPack else 1.0  # the sigmoid of untrained zeros
    torch.testing.assert_close(layer(features, rois).cpu(), torch.stack(want) * weight)


def test_half_precision_pools_to_a_thousandth(device):
    features = torch.rand(1, 3, 50, 60, device=device).half()
    rois = torch.tensor([[0.0, 12, 13, 41, 42], [0, 3, 5, 59, 46]], device=device).half()
    offset = torch.randn(2, 2, 3, 3, device=device).half()
    half = deform_roi_pool(features, rois, offset, (3, 3))
    assert half.dtype == torch.float16
    exact = deform_roi_pool(features.float(), rois.float(), offset.float(), (3, 3))
    torch.testing.assert_close(half.float(), exact, rtol=1e-3, atol=1e-3)
