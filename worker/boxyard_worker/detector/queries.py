"""Mask2Former's instances: how sure a query's mask is counts in its score, so masks come first.

mmdet resizes the masks of all queries to the picture's size at once, 4.8 GB for a hundred at 12
million pixels. Here they are resized, judged and packed a few at a time, and a query that stands
for several classes once.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional

from boxyard_worker.detector.contract import CroppedMask
from boxyard_worker.detector.late import crop_masks, piece_size


def find_instances(head: Any, classes: Tensor, masks: Tensor, meta: dict[str, Any]) -> InstanceData:
    """What mmdet's `instance_postprocess` finds in one picture, with `cropped` for `masks`.

    Args:
        head: mmdet's fusion head, for its limits.
        classes: `(queries, classes + 1)` logits; the last says that there is nothing.
        masks: `(queries, height, width)` logits of the model's input, its padding included.
        meta: the picture's.
    """
    scores = classes.softmax(-1)[:, :-1]
    best, chosen = scores.flatten().topk(head.test_cfg.get("max_per_image", 100), sorted=False)
    labels, queries = chosen % head.num_classes, chosen // head.num_classes
    things = labels < head.num_things_classes
    shown, places = queries[things].unique(return_inverse=True)
    sure, cropped = _judge(masks[shown], meta)
    corners = [(m.x, m.y, m.x + m.width, m.y + m.height) for m in cropped]
    return InstanceData(
        scores=best[things] * sure[places],
        labels=labels[things],
        bboxes=best.new_tensor(corners).reshape(-1, 4)[places],
        cropped=[cropped[place] for place in places.tolist()],
    )


def _judge(masks: Tensor, meta: dict[str, Any]) -> tuple[Tensor, list[CroppedMask]]:
    """How sure each mask is of its pixels, `(n,)`, and the masks."""
    (height, width), size = meta["img_shape"][:2], meta["ori_shape"][:2]
    sure, cropped = [masks.new_empty(0)], list[CroppedMask]()
    inputs = masks[:, None, :height, :width]
    for piece in torch.split(inputs, piece_size(4 * math.prod(size))):
        logits = functional.interpolate(piece, size=size, mode="bilinear")[:, 0]
        inside = logits > 0
        # Added up in float32, pixel after pixel as mmdet does, or large masks end elsewhere.
        total = (logits.sigmoid() * inside).flatten(1).sum(1)
        sure.append(total / (inside.flatten(1).float().sum(1) + 1e-6))
        cropped += crop_masks(inside)
    return torch.cat(sure), cropped
