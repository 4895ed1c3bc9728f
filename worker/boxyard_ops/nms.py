"""Non-maximum suppression."""

import torch
import torchvision
from torch import Tensor

__all__ = ["nms"]


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
