"""A model's configuration for small pictures, so that five hundred models take minutes.

Untrained, a model is sure of nothing, so its thresholds go; and it is not asked for more
proposals than a small picture needs. All else stays as the model's authors wrote it.
"""

from __future__ import annotations

import math
from typing import Any, Final

from mmengine.config import Config

SIDE: Final = 128
"""Pixels of a picture's longer side, where the model takes any."""

_FIXED: Final = {"SSDVGG", "SSDNeck"}
"""Parts that are made for the size of their pictures: their last maps are one cell large."""

_THRESHOLDS: Final = {
    "conf_thr": 0.0,
    "distance_threshold": 1e9,  # between a corner and its partner
    "filter_thr": 0.0,
    "mask_thr": 0.0,  # of SOLO, whose untrained masks are all background
    "min_bbox_size": -1,  # untrained, sides are as often negative
    "score_thr": 0.0,
    "update_thr": 0.0,
}
_COUNTS: Final = {"nms_pre": 100, "max_per_img": 20}


def shrink(config: Config) -> None:
    """Changes a configuration in place."""
    _limit(config.model.get("test_cfg") or {})
    if not _FIXED & {config.model.backbone.type, *_necks(config.model)}:
        _resize(config.test_dataloader.dataset.pipeline, find_side(config.model))


def find_side(model: Any) -> int:
    """The smallest longer side in pixels, a multiple of 32, of a 4:3 picture that it takes.

    Detectors that pick their queries among the cells of the feature maps need as many cells.
    """
    if not (model.get("as_two_stage") and model.get("num_queries")):
        return SIDE
    queries = model.num_queries
    if model.type == "DDQDETR":  # takes half as many again for its dense branch
        queries += model.get("dense_topk_ratio", 1.5) * queries
    levels = int(model.get("num_feature_levels", 4))
    first = 32 >> (levels - 2)
    return next(
        side
        for side in range(SIDE, 2048, 32)
        if count_cells(side, side * 3 // 4, first, levels) >= queries
    )


def count_cells(width: int, height: int, stride: int, levels: int) -> int:
    """Of all feature maps, the first of which has one cell in `stride` pixels."""
    strides = [stride << level for level in range(levels)]
    return sum(math.ceil(width / each) * math.ceil(height / each) for each in strides)


def _necks(model: Any) -> list[str]:
    neck = model.get("neck") or []
    return [part.type for part in (neck if isinstance(neck, list) else [neck])]


def _resize(steps: Any, side: int) -> None:
    for step in steps:
        for key in {"scale", "size"} & set(step):
            step[key] = (side, side)
        _resize(step.get("transforms", []), side)


def _limit(settings: Any) -> None:
    for key, value in settings.items():
        if key in _THRESHOLDS:
            settings[key] = _THRESHOLDS[key]
        elif key in _COUNTS and "nms" in settings:  # without NMS, one each for the model's queries
            settings[key] = min(value, _COUNTS[key])
        elif isinstance(value, dict):
            _limit(value)
