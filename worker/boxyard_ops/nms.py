"""Non-maximum suppression."""

import numpy as np
import torch
import torchvision
from torch import Tensor

from boxyard_ops.boxes import overlap, to_columns

__all__ = ["nms", "nms_match"]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes to keep, best score first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: a box goes when its IoU with a better one is above this.
        offset: 0, or 1 where the corners name pixels, so that a width is x2 - x1 + 1.
    """
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    if boxes.dtype not in (torch.float32, torch.float64):
        boxes = boxes.float()
    # mmcv's threshold is in single precision: an IoU of exactly 3/5 would tell the difference.
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    kept: Tensor = torchvision.ops.nms(boxes, scores.to(boxes.dtype), threshold)
    return kept


@np.errstate(all="ignore")
def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of indices: a box that is kept, then those that go because of it, best first.

    Args:
        dets: (N, 5) as x1, y1, x2, y2, score.
        iou_threshold: a box goes when its IoU with a better one is this or more.
    """
    columns = to_columns(dets[:, :4], dets[:, 4], 0)
    order = dets[:, 4].sort(descending=True).indices.numpy()
    groups = []
    while len(order):
        best, rest = order[0], order[1:]
        go = overlap(columns[:, best], columns[:, rest], 0) >= np.float32(iou_threshold)
        groups.append([int(best), *rest[go].tolist()])
        order = rest[~go]
    return groups
