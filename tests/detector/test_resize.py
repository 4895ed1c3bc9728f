"""The parent's resize is mmcv's, to the last bit."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
import pytest

from boxyard_worker.detector.contract import ResizePlan
from boxyard_worker.detector.resize import plan_size, resize

SIZES = [(1, 1), (7, 3), (33, 500), (500, 33), (641, 479), (256, 256), (1333, 800), (1000, 999)]


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "area", "lanczos"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_picture_fitted_inside_equals_mmcvs(
    width: int, height: int, interpolation: str, paint: Any
) -> None:
    pixels = paint(width, height)
    ours = resize(pixels, ResizePlan(333, 200, interpolation=interpolation))
    theirs = mmcv.imrescale(pixels, (333, 200), interpolation=interpolation, backend="cv2")
    np.testing.assert_array_equal(ours, theirs)


def test_a_picture_stretched_to_the_target_equals_mmcvs(paint: Any) -> None:
    pixels = paint(641, 479)
    ours = resize(pixels, ResizePlan(300, 300, keep_ratio=False))
    np.testing.assert_array_equal(ours, mmcv.imresize(pixels, (300, 300)))


def test_a_thread_of_a_picture_keeps_one_pixel_of_its_width() -> None:
    assert plan_size(1, 4000, ResizePlan(640, 640)) == (1, 640)
