"""The resize of mmdet's test pipelines, to the last bit, without torch.

The decoder runs it on decoded pictures, so that less crosses to the parent and the model child.
"""

from __future__ import annotations

from typing import Final, cast

import cv2

from boxyard_worker.detector.contract import Pixels, ResizePlan

INTERPOLATIONS: Final[dict[str, int]] = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def plan_size(width: int, height: int, plan: ResizePlan) -> tuple[int, int]:
    """Width and height in pixels after the plan; never below 1, where mmcv would fail."""
    if not plan.keep_ratio:
        return plan.width, plan.height
    # mmcv's rule: the target's longer side bounds the picture's longer one, upright or not.
    longer, shorter = max(plan.width, plan.height), min(plan.width, plan.height)
    scale = min(longer / max(width, height), shorter / min(width, height))
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def resize(pixels: Pixels, plan: ResizePlan) -> Pixels:
    """Resizes `(height, width, 3)` uint8 pixels as the plan says."""
    height, width = pixels.shape[:2]
    size = plan_size(width, height, plan)
    if size == (width, height):
        return pixels
    return cast(
        "Pixels", cv2.resize(pixels, size, interpolation=INTERPOLATIONS[plan.interpolation])
    )
