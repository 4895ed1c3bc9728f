"""RTMDet-Ins masks from regions equal mmdet's from whole pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from boxyard_worker.detector import regions
from boxyard_worker.detector.contract import CroppedMask
from boxyard_worker.detector.regions import Frame, cut_masks

sides = st.integers(min_value=1, max_value=150)
shares = st.floats(min_value=0.1, max_value=1.0)


def make_logits(seed: int, cells: int = 12, count: int = 4) -> Tensor:
    coarse = torch.randn((1, count, 4, 4), generator=torch.Generator().manual_seed(seed)) * 5 - 1
    return functional.interpolate(coarse, size=(cells, cells), mode="bicubic")[0]


def make_masks_as_mmdet(logits: Tensor, frame: Frame) -> NDArray[np.bool_]:
    """The arithmetic of mmdet's `_bbox_mask_post_process`."""
    whole = functional.interpolate(logits[None], scale_factor=frame.stride, mode="bilinear")
    whole = functional.interpolate(whole, size=list(frame.resized), mode="bilinear")
    kept = whole[0, :, : frame.kept[0], : frame.kept[1]]
    masks: NDArray[np.bool_] = (kept.sigmoid() > frame.probability).numpy()
    return masks


def lay_out(masks: list[CroppedMask], size: tuple[int, int]) -> NDArray[np.bool_]:
    whole = np.zeros((len(masks), *size), bool)
    for row, mask in zip(whole, masks, strict=True):
        row[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width] = mask.unpack()
    return whole


@settings(max_examples=60, deadline=None)
@given(
    resized=st.tuples(sides, sides),
    share=st.tuples(shares, shares),
    probability=st.sampled_from([0.3, 0.5, 0.8]),
    seed=st.integers(0, 999),
)
def test_masks_equal_mmdets_pixel_for_pixel(
    resized: tuple[int, int], share: tuple[float, float], probability: float, seed: int
) -> None:
    logits = make_logits(seed)
    kept = (math.ceil(resized[0] * share[0]), math.ceil(resized[1] * share[1]))
    frame = Frame(8, resized, kept, probability)
    found = lay_out(cut_masks(logits, frame), kept)
    assert (found == make_masks_as_mmdet(logits, frame)).all()


def test_only_close_calls_are_made_in_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tensor] = []
    make = regions._make_whole
    monkeypatch.setattr(regions, "_make_whole", lambda *a: made.append(a[0]) or make(*a))
    logits = make_logits(seed=5, cells=40, count=50)
    cut_masks(logits, Frame(8, (480, 640), (480, 640), 0.5))
    assert len(made) <= 5
    logits[:, 10:20, 10:20] = 1e-9  # above 0, yet its sigmoid is 0.5 to float32
    cut_masks(logits[:1], Frame(8, (480, 640), (480, 640), 0.5))
    assert made[-1] is not None
    assert torch.equal(made[-1], logits[0])


def test_an_instance_without_a_cell_above_the_threshold_has_an_empty_mask() -> None:
    masks = cut_masks(torch.full((1, 12, 12), -3.0), Frame(8, (50, 60), (50, 60), 0.5))
    assert masks == [CroppedMask(0, 0, 0, 0, b"")]


def test_cells_in_the_padding_alone_give_an_empty_mask() -> None:
    logits = torch.full((1, 12, 12), -3.0)
    logits[0, :, 11] = 5.0
    masks = cut_masks(logits, Frame(8, (96, 96), (96, 50), 0.5))
    assert masks == [CroppedMask(0, 0, 0, 0, b"")]
