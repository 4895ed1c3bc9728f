"""What mmdet gets wrong is mended, and all else stays its own."""

from __future__ import annotations

import pytest
import torch

import boxyard_worker.detector.mmdetection  # noqa: F401 - mmdet's heads need its operators

BOXES = {
    "inside": [2.0, 1.0, 7.0, 6.0],
    "over the edge": [-3.0, 4.0, 4.0, 14.0],
    "beside it on the right": [13.0, 2.0, 19.0, 7.0],
    "above it": [2.0, -9.0, 8.0, -4.0],
    "not a number": [float("nan")] * 4,
}


@pytest.mark.parametrize("place", BOXES)
def test_a_mask_is_pasted_on_a_cpu_as_on_a_gpu_wherever_its_box_lies(place: str) -> None:
    from boxyard_worker.detector.faults import paste

    boxes = torch.tensor([BOXES[place]])
    masks = torch.rand((1, 1, 4, 4), generator=torch.Generator().manual_seed(3)) + 0.5
    whole, _ = paste(masks, boxes, 10, 12, skip_empty=False)  # as on a GPU
    part, spans = paste(masks, boxes, 10, 12, skip_empty=True)
    laid_out = torch.zeros((1, 10, 12))
    laid_out[(slice(None), *spans)] = part
    torch.testing.assert_close(laid_out, whole.nan_to_num())
    assert bool(laid_out.any()) is (place in {"inside", "over the edge"})
