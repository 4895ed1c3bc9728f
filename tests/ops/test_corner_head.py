"""mmdet's corner head on maps that we drew: the model that soft suppression is for."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor

SIDE, STRIDE = 16, 4
FIRST, SECOND = ((2, 2), (8, 8)), ((4, 2), (10, 8))
"""Two objects that overlap by half, as x, y of their corners in cells."""
LOGITS = (4.0, 3.0)

# mmdet's own code warns, some of it when it is first compiled; what is judged here are numbers.
pytestmark = pytest.mark.filterwarnings("ignore")


def draw(corner: int) -> tuple[Tensor, Tensor]:
    """Draw heat and embedding of one corner; only corners of the same object are alike."""
    heat = torch.full((1, 2, SIDE, SIDE), -10.0)
    embedding = torch.full((1, 1, SIDE, SIDE), 100.0 * (corner + 1))
    for number, (ends, logit) in enumerate(zip((FIRST, SECOND), LOGITS, strict=True)):
        x, y = ends[corner]
        heat[0, 1, y, x], embedding[0, 0, y, x] = logit, 5.0 * number
    return heat, embedding


def test_a_corner_head_lowers_the_score_of_the_lesser_of_two_overlapping_objects(device):
    suppression = {"type": "soft_nms", "iou_threshold": 0.5, "method": "gaussian"}
    how = {"corner_topk": 50, "local_maximum_kernel": 3, "distance_threshold": 0.5}
    test_cfg = ConfigDict(**how, max_per_img=100, nms=suppression)
    config = {"type": "CornerHead", "num_classes": 2, "in_channels": 4, "num_feat_levels": 1}
    with DefaultScope.overwrite_default_scope("mmdet"):
        head = MODELS.build(ConfigDict(**config, test_cfg=test_cfg))
    corners = [draw(corner) for corner in (0, 1)]
    maps = [[each.to(device)] for pair in zip(*corners, strict=True) for each in pair]
    offsets = [torch.zeros(1, 2, SIDE, SIDE, device=device)]
    meta = {"batch_input_shape": (SIDE * STRIDE, SIDE * STRIDE), "border": (0, 64, 0, 64)}

    (found,) = head.predict_by_feat(*maps, offsets, offsets, [meta], with_nms=True)

    corners = torch.tensor([FIRST, SECOND]).flatten(1) * STRIDE
    assert torch.equal(found.bboxes.cpu().long(), corners)
    assert found.labels.tolist() == [1, 1]
    first, second = (1 / (1 + math.exp(-logit)) for logit in LOGITS)
    assert found.scores.tolist() == pytest.approx([first, second * math.exp(-(0.5**2) / 0.5)])
