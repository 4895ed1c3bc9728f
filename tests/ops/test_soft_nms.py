"""Soft suppression and matching against loops that take one box after another, as mmcv's do."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms, nms_match, soft_nms
from numpy.typing import NDArray

single = np.float32
Numbers = NDArray[np.float32]

# Whole numbers make equal scores and equal IoUs, sevenths make roundings.
SIDE = st.one_of(st.integers(0, 9), st.integers(0, 70).map(lambda n: n / 7))
SCORE = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
BOXES = st.lists(st.tuples(SIDE, SIDE, SIDE, SIDE, SCORE), max_size=14)


def to_dets(rows: list[tuple[float, ...]]) -> Numbers:
    """Return (N, 5) as x1, y1, x2, y2, score."""
    corners = [(x, y, x + w, y + h, score) for x, y, w, h, score in rows]
    return np.array(corners, single).reshape(-1, 5)


def overlap(a: Numbers, b: Numbers, offset: int = 0) -> np.float32:
    """Return the intersection over the union, rounded after each step."""
    width = max(single(0), min(a[2], b[2]) - max(a[0], b[0]) + single(offset))
    height = max(single(0), min(a[3], b[3]) - max(a[1], b[1]) + single(offset))
    area_a, area_b = (
        (c[2] - c[0] + single(offset)) * (c[3] - c[1] + single(offset)) for c in (a, b)
    )
    with np.errstate(invalid="ignore"):
        return np.float32(width * height / (area_a + area_b - width * height))


def weigh(iou: np.float32, threshold: float, sigma: float, method: str) -> np.float32:
    if method == "gaussian":
        return single(math.exp(-(iou * iou) / single(sigma)))
    if iou >= single(threshold):
        return single(0) if method == "naive" else single(1) - iou
    return single(1)


def soften(
    dets: Numbers, *, threshold: float, sigma: float, least: float, method: str, offset: int
) -> Iterator[tuple[int, np.float32]]:
    """Yield index and lowered score: the best to the front, what falls too low out of the list."""
    left = [[i, det[4]] for i, det in enumerate(dets)]
    while left:
        best = max(range(len(left)), key=lambda place: left[place][1])
        left[0], left[best] = left[best], left[0]
        (index, score), *left = left
        yield index, score
        place = 0
        while place < len(left):
            iou = overlap(dets[index], dets[left[place][0]], offset)
            left[place][1] *= weigh(iou, threshold, sigma, method)
            if left[place][1] < single(least):
                left[place] = left[-1]
                left.pop()
            else:
                place += 1


@settings(deadline=None, max_examples=150)
@given(
    rows=BOXES,
    threshold=st.sampled_from([0.2, 0.5, 0.6]),
    sigma=st.sampled_from([0.3, 0.5]),
    least=st.sampled_from([0.0, 1e-3, 0.3]),
    method=st.sampled_from(["naive", "linear", "gaussian"]),
    offset=st.sampled_from([0, 1]),
)
def test_soft_nms_picks_and_lowers_as_a_loop_to_the_last_bit(
    rows, *, threshold, sigma, least, method, offset
):
    dets = to_dets(rows)

    got, kept = soft_nms(dets[:, :4], dets[:, 4], threshold, sigma, least, method, offset)

    how = {"threshold": threshold, "sigma": sigma, "method": method, "offset": offset}
    want = list(soften(dets, least=least, **how))
    assert kept.tolist() == [index for index, _ in want]
    assert np.array_equal(got[:, :4], dets[kept, :4])
    scores = np.array([score for _, score in want], single)
    assert np.array_equal(got[:, 4], scores, equal_nan=True)


def test_the_last_boxes_fill_the_gaps_so_that_equal_scores_come_in_the_order_of_mmcv():
    apart = [[x, 50, x + 9, 59] for x in (0, 20, 40)]
    boxes = torch.tensor([*[[0, 0, 9, 9]] * 3, *apart], dtype=torch.float32)
    scores = torch.tensor([1, 0.75, 0.75, 0.5, 0.5, 0.5])
    _, kept = soft_nms(boxes, scores, method="naive")
    assert kept.tolist() == [0, 5, 4, 3]


def test_an_iou_equal_to_the_threshold_is_enough_to_go_and_to_be_matched():
    dets = torch.tensor([[0.0, 0, 5, 1, 0.9], [0, 0, 3, 1, 0.8]])
    _, kept = soft_nms(dets[:, :4], dets[:, 4], 0.6, method="naive")
    assert kept.tolist() == [0]
    assert [group.tolist() for group in nms_match(dets, 0.6)] == [[0, 1]]


def test_classes_do_not_lower_each_other(device):
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 3, device=device)
    scores = torch.tensor([0.7, 0.9, 0.8], device=device)
    classes = torch.tensor([0, 1, 0], device=device)
    how = {"type": "soft_nms", "iou_threshold": 0.5, "method": "gaussian"}

    dets, kept = batched_nms(boxes, scores, classes, how)

    assert dets.device == kept.device == boxes.device
    assert kept.tolist() == [1, 2, 0]
    torch.testing.assert_close(dets[:, 4].cpu(), torch.tensor([0.9, 0.8, 0.7 * math.exp(-2)]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_softened_too(device, dtype):
    boxes = torch.tensor([[0, 0, 8, 8], [0, 0, 8, 8], [20, 20, 30, 30]], dtype=dtype)
    scores = torch.tensor([0.5, 0.75, 0.25], dtype=dtype)
    dets, kept = soft_nms(boxes.to(device), scores.to(device), 0.5)
    assert (dets.dtype, dets.device.type) == (dtype, device)
    assert kept.tolist() == [1, 2]
    assert torch.equal(dets.cpu(), torch.cat([boxes[[1, 2]], scores[[1, 2], None]], 1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_a_box_or_a_score_that_is_no_number_does_not_stop_the_others(value, method):
    boxes = torch.tensor([[0.0, 0, 4, 4], [20, 20, 24, 24], [0, 0, value, 4], [9, 9, 12, 12]])
    scores = torch.tensor([0.5, 0.75, 0.6, value])
    _, kept = soft_nms(boxes, scores, 0.5, 0.5, 0.0, method)
    assert {0, 1} <= set(kept.tolist())


def test_a_score_that_is_no_number_is_the_best_only_where_it_stands_first():
    boxes = torch.arange(12.0).reshape(3, 4)
    for scores, order in (([math.nan, 0.5, 0.7], [0, 2, 1]), ([0.5, math.nan, 0.7], [2, 1, 0])):
        _, kept = soft_nms(boxes, torch.tensor(scores), 0.5)
        assert kept.tolist() == order


def match(dets: Numbers, threshold: float) -> list[list[int]]:
    """Return each box that stays with those that go because of it."""
    groups: list[list[int]] = []
    for i in np.argsort(-dets[:, 4], kind="stable").tolist():
        for group in groups:
            if overlap(dets[group[0]], dets[i]) >= single(threshold):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


@settings(deadline=None, max_examples=100)
@given(rows=BOXES, threshold=st.sampled_from([0.3, 0.5, 0.6]))
def test_nms_match_groups_as_a_loop(rows, threshold):
    dets = to_dets(rows)
    assert [group.tolist() for group in nms_match(dets, threshold)] == match(dets, threshold)


def test_nms_match_answers_tensors_where_its_boxes_are(device):
    dets = to_dets([(0, 0, 5, 5, 0.5), (0, 0, 5, 4, 0.75), (9, 9, 2, 2, 0.25)])
    groups = nms_match(torch.tensor(dets, device=device), 0.5)
    assert [group.tolist() for group in groups] == [[1, 0], [2]]
    assert all((group.dtype, group.device.type) == (torch.long, device) for group in groups)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nms_match_leaves_alone_what_has_no_area(value):
    dets = torch.tensor([[0, 0, 4, 4, 0.5], [0, 0, value, 4, 0.75], [0, 0, 4, 4, 0.25]])
    assert [group.tolist() for group in nms_match(dets, 0.5)] == [[1], [0, 2]]
