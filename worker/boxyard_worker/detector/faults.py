"""What mmdet 3.3 gets wrong when a model answers, mended on the model that was built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.dense_heads import GuidedAnchorHead, SSDHead
from mmdet.models.roi_heads import PointRendRoIHead
from mmdet.models.roi_heads.mask_heads import fcn_mask_head

_paste = fcn_mask_head._do_paste_mask

Spans = tuple[slice, slice] | tuple[()]


def mend(model: Any) -> None:
    """Changes a model in place; its parameters stay as they are."""
    fcn_mask_head._do_paste_mask = paste
    for part in model.modules():
        if isinstance(part, SSDHead):
            part.loss_cls = None  # mmdet asks each dense head's loss about scores: it has none
        elif isinstance(part, GuidedAnchorHead):
            part.forward_single = _each_alone(part.forward_single)
        elif isinstance(part, PointRendRoIHead):
            part._mask_point_forward_test = _refining_some(part._mask_point_forward_test)


def paste(
    masks: torch.Tensor, boxes: torch.Tensor, img_h: int, img_w: int, skip_empty: bool = True
) -> tuple[torch.Tensor, Spans]:
    """Pastes masks `(n, 1, h, w)` into boxes as mmdet does, also into those beside the picture.

    QueryInst's and Sparse R-CNN's boxes may lie there; mmdet makes empty masks of them on a GPU,
    and fails on a CPU, where it looks for the part of the picture that they cover.
    """
    if skip_empty and not _touch(boxes, img_h, img_w):
        return masks.new_zeros((len(masks), 0, 0)), (slice(0, 0), slice(0, 0))
    pasted: tuple[torch.Tensor, Spans] = _paste(masks, boxes, img_h, img_w, skip_empty)
    return pasted


def _touch(boxes: torch.Tensor, height: int, width: int) -> bool:
    """Whether the rectangle around all boxes, a pixel wider on each side, meets the picture."""
    if not len(boxes):
        return False
    left, top = (boxes.amin(0)[:2].floor() - 1).clamp(min=0).tolist()
    right, bottom = (boxes.amax(0)[2:].ceil() + 1).tolist()
    return bool(left < min(right, width) and top < min(bottom, height))


def _refining_some(refine: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Leaves out pictures without an instance, which mmdet refuses though it takes a whole batch
    of such; nobody looks at what their masks are refined from.
    """

    def refine_some(
        x: tuple[torch.Tensor, ...], rois: torch.Tensor, labels: torch.Tensor, masks: torch.Tensor
    ) -> torch.Tensor:
        return refine(x, rois, labels, masks) if len(rois) else masks

    return refine_some


def _each_alone(
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    """Shows guided anchoring the pictures of a batch one by one: its convolutions are masked by
    what it saw in one, and mmdet refuses more. What is before and behind it takes the batch.
    """

    def forward_each(maps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        each = (forward(maps[at : at + 1]) for at in range(len(maps)))
        return tuple(torch.cat(parts) for parts in zip(*each, strict=True))

    return forward_each
