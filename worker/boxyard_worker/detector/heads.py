"""The request's limits inside mmdet's heads, so that masks nobody asked for are never made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

import torch
from mmdet.models.dense_heads import RTMDetInsHead, SOLOHead, YOLACTProtonet
from mmdet.models.dense_heads.condinst_head import CondInstMaskHead
from mmdet.models.roi_heads import (
    CascadeRoIHead,
    MaskScoringRoIHead,
    SparseRoIHead,
    StandardRoIHead,
)
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.seg_heads import MaskFormerFusionHead

from boxyard_worker.detector.contract import ModelImage
from boxyard_worker.detector.late import LateMasks, SmallMasks
from boxyard_worker.detector.queries import find_instances
from boxyard_worker.detector.regions import Frame, cut_masks

REQUEST: Final = "boxyard_request"
"""The key of a data sample's meta information that holds its `ModelImage`."""

_MASKS_DECIDE = (SparseRoIHead, MaskScoringRoIHead)
"""RoI heads that must see all instances: masks go by the instance's place, or change its score."""

_RESIZING = (SOLOHead, CondInstMaskHead, YOLACTProtonet)
"""Mask heads whose last step resizes small masks to the picture."""

Instances = Any
"""mmdet's `InstanceData`: tensors of equal length, cut by slicing."""


def limit_masks(model: Any) -> None:
    """Makes a model's heads cut to the request's limits before they make masks of full size.

    Heads that are not known here go on as they are; `collect` cuts what they give.
    """
    if isinstance(head := getattr(model, "bbox_head", None), RTMDetInsHead):
        head._bbox_mask_post_process = MethodType(_finish_rtmdet, head)
    if isinstance(head := getattr(model, "mask_head", None), _RESIZING):
        head._predict_by_feat_single = _noting_resizes(head._predict_by_feat_single)
    if isinstance(head := getattr(model, "panoptic_fusion_head", None), MaskFormerFusionHead):
        _limit_queries(head)
    if _makes_masks(roi_head := getattr(model, "roi_head", None)):
        _limit_regions(roi_head)


def _makes_masks(roi_head: Any) -> bool:
    return isinstance(roi_head, StandardRoIHead | CascadeRoIHead) and roi_head.with_mask


def _limit_regions(roi_head: Any) -> None:
    for part in roi_head.modules():
        if isinstance(part, FCNMaskHead):
            part._predict_by_feat_single = _pasting_late(part._predict_by_feat_single)
    if not isinstance(roi_head, _MASKS_DECIDE):
        roi_head.predict_mask = _by_picture(roi_head.predict_mask)


def cut(instances: Instances, image: ModelImage) -> Instances:
    """The instances that reach the request's threshold, best first, at most its maximum."""
    order = torch.sort(instances.scores, descending=True, stable=True).indices
    order = order[instances.scores[order] >= image.score_threshold]
    return instances[order[: image.max_detections]]


def _noting_resizes(predict: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a mask head's `_predict_by_feat_single` so that its masks are made late."""
    signature = inspect.signature(predict)

    def predict_late(*arguments: Any, **named: Any) -> Any:
        call = signature.bind(*arguments, **named)
        for name, value in call.arguments.items():
            if name.startswith("mask_"):
                call.arguments[name] = value.as_subclass(SmallMasks)
        return predict(*call.args, **call.kwargs)

    return predict_late


def _pasting_late(paste: Callable[..., torch.Tensor]) -> Callable[..., LateMasks]:
    """Wraps a mask head's `_predict_by_feat_single`, which pastes masks into boxes."""

    def paste_late(
        *, mask_preds: torch.Tensor, bboxes: torch.Tensor, labels: torch.Tensor, **named: Any
    ) -> LateMasks:
        boxes = bboxes.clone()
        if named["rescale"]:
            _scale_back(bboxes, named["img_meta"])

        def make(places: torch.Tensor) -> torch.Tensor:
            at = places.to(boxes.device)
            return paste(mask_preds=mask_preds[at], bboxes=boxes[at], labels=labels[at], **named)

        return LateMasks(torch.arange(len(boxes)), make)

    return paste_late


def _scale_back(boxes: torch.Tensor, meta: dict[str, Any]) -> None:
    """Does in place what mmdet's mask head does to the boxes on its way: from the model's input to
    the picture.
    """
    boxes /= boxes.new_tensor(meta["scale_factor"]).repeat((1, 2))


def _limit_queries(head: Any) -> None:
    if not head.test_cfg.get("instance_on", False):
        return

    def predict(
        classes: torch.Tensor, masks: torch.Tensor, samples: list[Any], rescale: bool = False
    ) -> list[dict[str, Instances]]:
        return [
            {"ins_results": find_instances(head, logits, shapes, sample.metainfo)}
            for logits, shapes, sample in zip(classes, masks, samples, strict=True)
        ]

    head.predict = predict


def _finish_rtmdet(
    head: Any,
    *,
    results: Instances,
    mask_feat: torch.Tensor,
    cfg: Any,
    rescale: bool,
    with_nms: bool,
    img_meta: dict[str, Any],
) -> Instances:
    """Stands for mmdet's `_bbox_mask_post_process`; the masks come from `regions`."""
    image: ModelImage = img_meta[REQUEST]
    results = cut(head._bbox_post_process(results, cfg, rescale, with_nms, img_meta), image)
    if image.masks:
        logits = head._mask_predict_by_feat_single(mask_feat, results.kernels, results.priors)
        stride = head.prior_generator.strides[0][0]
        frame = _frame(logits.shape, stride, img_meta, cfg.mask_thr_binary)
        results.cropped = cut_masks(logits, frame)
    return results


def _frame(cells: torch.Size, stride: int, meta: dict[str, Any], probability: float) -> Frame:
    across, down = meta["scale_factor"]
    height, width = meta["ori_shape"]
    # mmdet divides the height by the width's factor and the other way round. The two differ by
    # rounding alone, yet a thin picture's masks move by pixels; they must move here too.
    resized = (
        math.ceil(cells[-2] * stride * (1 / across)),
        math.ceil(cells[-1] * stride * (1 / down)),
    )
    return Frame(stride, resized, (min(height, resized[0]), min(width, resized[1])), probability)


def _by_picture(predict: Callable[..., list[Instances]]) -> Callable[..., list[Instances]]:
    """Wraps a RoI head's `predict_mask` so that it sees what is kept of one picture at a time.

    Convolutions round otherwise over another number of instances: this gives each mask as its
    picture alone would, and no more small masks at a time than one picture has.
    """
    signature = inspect.signature(predict)

    def predict_mask(*arguments: Any, **named: Any) -> list[Instances]:
        call = signature.bind(*arguments, **named)
        call.apply_defaults()
        metas = call.arguments["batch_img_metas"]
        images: list[ModelImage] = [meta[REQUEST] for meta in metas]
        results = list(map(cut, call.arguments["results_list"], images))
        for found, image, meta in zip(results, images, metas, strict=True):
            if image.masks and len(found):
                call.arguments["results_list"] = [r if r is found else r[:0] for r in results]
                predict(*call.args, **call.kwargs)
                found.cropped = list(found.pop("masks").crop(math.prod(meta["ori_shape"])))
            elif call.arguments["rescale"]:
                _scale_back(found.bboxes, meta)
            if not len(found):
                found.cropped = []
        return results

    return predict_mask
