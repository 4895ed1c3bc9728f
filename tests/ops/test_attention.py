"""Multi-scale deformable attention against a loop over queries, and against mmcv's own form."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor

STEP = 64


def draw(shapes: list[tuple[int, int]], *, images: int, heads: int, queries: int, points: int):
    """Draw value, spatial shapes, level starts, sampling locations and attention weights."""
    sizes = torch.tensor([h * w for h, w in shapes])
    place = (images, queries, heads, len(shapes), points)
    return (
        torch.randn(images, int(sizes.sum()), heads, 3, dtype=torch.float64),
        torch.tensor(shapes),
        sizes.cumsum(0) - sizes,
        torch.rand(*place, 2, dtype=torch.float64) * 1.4 - 0.2,
        torch.rand(place, dtype=torch.float64),
    )


def interpolate(plane: Tensor, y: float, x: float) -> Tensor:
    """Sample (H, W, D) between pixels; every pixel outside is zero."""
    height, width, depth = plane.shape
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros(depth, dtype=plane.dtype)
    for row, column in product((top, top + 1), (left, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def attend(value: Tensor, shapes: Tensor, starts: Tensor, places: Tensor, weights: Tensor):
    """Attend slowly, (B, Q, heads * D)."""
    images, queries, heads = weights.shape[:3]
    out = torch.zeros(images, queries, heads, value.shape[3], dtype=value.dtype)
    for b, q, h, level, p in product(*map(range, weights.shape)):
        height, width = shapes[level].tolist()
        start = int(starts[level])
        plane = value[b, start : start + height * width, h].unflatten(0, (height, width))
        x, y = places[b, q, h, level, p].tolist()
        seen = interpolate(plane, y * height - 0.5, x * width - 0.5)
        out[b, q, h] += weights[b, q, h, level, p] * seen
    return out.flatten(2)


@settings(deadline=None, max_examples=25)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
    images=st.integers(1, 2),
    heads=st.integers(1, 2),
    queries=st.integers(1, 3),
    points=st.integers(1, 2),
)
def test_attention_equals_the_loop_and_the_form_of_mmcv(shapes, images, heads, queries, points):
    operands = draw(shapes, images=images, heads=heads, queries=queries, points=points)
    got = MultiScaleDeformableAttnFunction.apply(*operands, STEP)
    torch.testing.assert_close(got, attend(*operands))
    value, spatial, _, places, weights = operands
    torch.testing.assert_close(
        got, multi_scale_deformable_attn_pytorch(value, spatial, places, weights)
    )


def test_the_gradients_of_attention_are_right():
    value, spatial, starts, places, weights = draw(
        [(3, 2), (2, 4)], images=2, heads=2, queries=2, points=2
    )
    leaves = [t.requires_grad_() for t in (value, places, weights)]
    assert torch.autograd.gradcheck(
        lambda v, p, w: MultiScaleDeformableAttnFunction.apply(v, spatial, starts, p, w, STEP),
        leaves,
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_location_that_is_not_finite_samples_zero_whatever_its_weight(device, value):
    operands = draw([(3, 2), (2, 4)], images=1, heads=2, queries=2, points=2)
    value_, spatial, starts, places, weights = (t.to(device) for t in operands)
    places[0, 0, 0, 0, 0, 1] = places[0, 1, 1, 1] = value
    weights[0, 0, 0, 0, 0] = math.nan
    leaves = [t.requires_grad_() for t in (value_, places, weights)]
    got = MultiScaleDeformableAttnFunction.apply(
        leaves[0], spatial, starts, leaves[1], leaves[2], STEP
    )
    clean = [t.detach().cpu() for t in (places.nan_to_num(-9, -9, -9), weights.nan_to_num(7))]
    want = attend(value_.detach().cpu(), spatial.cpu(), starts.cpu(), *clean)
    torch.testing.assert_close(got.detach().cpu(), want)
    gradients = torch.autograd.grad(got.square().sum(), leaves)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[1][0, 1, 1, 1].any()
