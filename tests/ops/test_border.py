"""Border pooling against a walk along each side of each box."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmcv.ops import BorderAlign, border_align
from torch import Tensor

from interpolation import interpolate

PLACE = st.integers(-24, 96).map(lambda n: n / 8)
BOX = st.tuples(PLACE, PLACE, PLACE, PLACE)


def walk(plane: Tensor, start: tuple[float, float], end: tuple[float, float], steps: int) -> float:
    """Return the largest sample on the way between two points, given as x, y.

    Step by step, as mmcv does: beyond the border all is 0, and another rounding is another side.
    """
    (x, y), (to_x, to_y) = start, end
    step_x, step_y = (to_x - x) / steps, (to_y - y) / steps
    samples = [interpolate(plane, y, x)]
    for _ in range(steps):
        x, y = x + step_x, y + step_y
        samples.append(interpolate(plane, y, x))
    return max(samples)


def pool(features: Tensor, boxes: Tensor, steps: int) -> Tensor:
    """Walk along top, left, bottom and right of each box, (B, C, K, 4)."""
    images, quarter = len(features), features.shape[1] // 4
    out = torch.zeros(images, quarter, boxes.shape[1], 4, dtype=features.dtype)
    for image, channel, k in torch.cartesian_prod(*map(torch.arange, out.shape[:3])).tolist():
        x1, y1, x2, y2 = boxes[image, k].tolist()
        ends = (
            ((x1, y1), (x2, y1)),
            ((x1, y1), (x1, y2)),
            ((x2, y2), (x1, y2)),
            ((x2, y2), (x2, y1)),
        )
        for side, (start, end) in enumerate(ends):
            plane = features[image, side * quarter + channel]
            out[image, channel, k, side] = walk(plane, start, end, steps)
    return out


@settings(deadline=None, max_examples=25)
@example(boxes=[((2.0, -3.0, 3.0, -1.0), (0.0, 0.0, 1.0, 1.0))], quarter=1, steps=3)
@given(
    boxes=st.lists(st.tuples(BOX, BOX), min_size=1, max_size=3),
    quarter=st.integers(1, 2),
    steps=st.integers(1, 4),
)
def test_border_align_takes_the_largest_along_each_side(device, boxes, quarter, steps):
    features = torch.rand(2, 4 * quarter, 7, 9, dtype=torch.float64) - 0.5
    corners = torch.tensor(boxes, dtype=torch.float64).transpose(0, 1).contiguous()
    got = BorderAlign(steps)(features.to(device), corners.to(device)).cpu()
    torch.testing.assert_close(got, pool(features, corners, steps))


def test_the_gradient_of_the_features_is_right():
    features = torch.rand(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.3, 0.6, 2.7, 1.7], [-2, 1, 5, 7]], dtype=torch.float64)
    boxes = boxes.expand(2, 2, 4).contiguous()
    assert torch.autograd.gradcheck(lambda f: border_align(f, boxes, 3), (features,))


def test_half_precision_is_single_rounded(device):
    features = torch.randn(1, 8, 6, 6, device=device).half()
    boxes = torch.tensor([[[0.5, 1, 4.25, 3], [2, 0, 9, 5]]], device=device).half()
    want = border_align(features.float(), boxes.float(), 5).half()
    assert torch.equal(border_align(features, boxes, 5), want)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_box_without_a_place_pools_to_zero_beside_good_ones(device, value):
    features = torch.rand(1, 4, 6, 6, device=device, requires_grad=True)
    good, bad = [1.0, 1, 4, 5], [[1, value, 4, 5], [value] * 4]
    boxes = torch.tensor([[good, *bad]], device=device)
    alone = border_align(features, boxes[:, :1], 3)
    pooled = border_align(features, boxes, 3)
    assert torch.equal(pooled[:, :, :1], alone)
    assert not pooled[:, :, 1:].any()
    (gradient,) = torch.autograd.grad(pooled.sum(), features)
    assert torch.equal(gradient, *torch.autograd.grad(alone.sum(), features))


def test_the_first_sample_stays_where_it_is_no_number_and_later_ones_are_passed_over(device):
    features = torch.zeros(1, 4, 4, 4, device=device)
    features[:, :, 0, 0], features[:, :, 3, 1], features[:, :, 0, 3] = math.nan, math.nan, 1.0
    boxes = torch.tensor([[[0.0, 0, 3, 3]]], device=device)
    top, left, bottom, right = border_align(features, boxes, 3).flatten().tolist()
    assert math.isnan(top)
    assert math.isnan(left)
    assert (bottom, right) == (0, 1)
