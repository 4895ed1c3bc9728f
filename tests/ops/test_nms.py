"""Non-maximum suppression against a greedy loop in single precision, as mmcv computes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms, nms
from numpy.typing import NDArray

SIDE = st.integers(0, 12)
BOX = st.tuples(SIDE, SIDE, st.integers(1, 10), st.integers(1, 10))


def suppress(boxes: NDArray[np.float32], threshold: float, offset: int) -> list[int]:
    """Return what stays of boxes that come best first."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if all(overlap(boxes[k], box, offset) <= np.float32(threshold) for k in kept):
            kept.append(i)
    return kept


def overlap(a: NDArray[np.float32], b: NDArray[np.float32], offset: int) -> np.float32:
    """Return the intersection over the union."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = sum((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    return np.float32(width * height) / np.float32(areas - width * height)


@settings(deadline=None)
@given(
    corners=st.lists(BOX, max_size=12),
    threshold=st.sampled_from([0.3, 0.5, 0.6, 0.7]),
    offset=st.sampled_from([0, 1]),
    seed=st.integers(0, 99),
)
def test_nms_keeps_what_a_greedy_loop_keeps(corners, threshold, offset, seed):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners], np.float32).reshape(-1, 4)
    order = np.random.default_rng(seed).permutation(len(boxes))
    scores = np.empty(len(boxes), np.float32)
    scores[order] = np.linspace(1, 0, len(boxes))

    dets, kept = nms(boxes, scores, threshold, offset=offset)

    assert kept.tolist() == order[suppress(boxes[order], threshold, offset)].tolist()
    assert np.array_equal(dets, np.hstack([boxes[kept], scores[kept, None]]))


def test_an_iou_equal_to_the_threshold_is_kept_as_in_single_precision():
    boxes = torch.tensor([[0.0, 0.0, 5.0, 1.0], [0.0, 0.0, 3.0, 1.0]])
    _, kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.6)
    assert kept.tolist() == [0, 1]


def test_classes_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 3)
    scores, classes = torch.tensor([0.7, 0.9, 0.8]), torch.tensor([0, 1, 0])
    _, kept = batched_nms(boxes, scores, classes, {"type": "nms", "iou_threshold": 0.5})
    assert kept.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_suppressed_too(dtype):
    boxes = torch.tensor([[0, 0, 8, 8], [1, 0, 9, 8], [20, 20, 30, 30]], dtype=dtype)
    _, kept = nms(boxes, torch.tensor([0.5, 0.75, 0.25], dtype=dtype), 0.5)
    assert kept.tolist() == [1, 2]
