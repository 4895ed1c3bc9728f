"""Masks that are made late are mmdet's, a few at a time, and only those that are kept."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional

from boxyard_worker.detector import late
from boxyard_worker.detector.late import LateMasks, SmallMasks

SIZE = (93, 121)


def draw_small(count: int, seed: int = 1) -> Tensor:
    noise = torch.randn((1, count, 5, 7), generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, size=(20, 28), mode="bicubic")[0].sigmoid()


def finish_like_solo(masks: Tensor) -> Tensor | LateMasks:
    larger = functional.interpolate(masks.unsqueeze(0), size=(80, 112), mode="bilinear")
    fitted = functional.interpolate(larger[:, :, :75, :100], size=SIZE, mode="bilinear")
    return fitted.squeeze(0) > 0.5


def finish_like_condinst(masks: Tensor) -> Tensor | LateMasks:
    padded = functional.pad(masks.unsqueeze(0), (0, 1, 0, 1), mode="replicate")
    larger = functional.interpolate(padded, size=(81, 113), mode="bilinear", align_corners=True)
    moved = functional.pad(larger, (2, 0, 2, 0), mode="replicate")[:, :, :80, :112]
    fitted = functional.interpolate(
        moved[:, :, :75, :100], SIZE, mode="bilinear", align_corners=False
    )
    return fitted.squeeze(0) > 0.5


@pytest.mark.parametrize("finish", [finish_like_solo, finish_like_condinst])
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_late_masks_are_those_that_mmdets_steps_make_at_once(finish, piece, monkeypatch) -> None:
    monkeypatch.setattr(late, "PIECE_BYTES", piece * 4 * SIZE[0] * SIZE[1])
    small = draw_small(10)
    whole = finish(small)
    assert 0.1 < whole.float().mean() < 0.9
    made = finish(small.as_subclass(SmallMasks))
    assert isinstance(made, LateMasks)
    assert list(made.crop(SIZE[0] * SIZE[1])) == late.crop_masks(whole)


@pytest.mark.parametrize("finish", [finish_like_solo, finish_like_condinst])
def test_where_no_instance_is_kept_no_mask_is_made(finish) -> None:
    made = finish(draw_small(10).as_subclass(SmallMasks))
    assert list(made[:0].crop(SIZE[0] * SIZE[1])) == []


def test_what_is_no_mask_any_more_is_an_ordinary_tensor() -> None:
    masks = draw_small(4).as_subclass(SmallMasks)
    assert type(masks[torch.tensor([1, 2])]) is SmallMasks
    assert type(masks > 0.5) is Tensor
    assert type(masks.sum((1, 2))) is Tensor
    scores = torch.ones(4)
    scores *= masks.mean((1, 2))
    assert type(scores) is Tensor


def test_only_kept_instances_have_their_masks_made_and_few_at_a_time() -> None:
    made: list[int] = []

    def make(places: Tensor) -> Tensor:
        made.extend([len(places)])
        return places[:, None, None].expand(-1, 3000, 4000) > 0

    found = InstanceData(scores=torch.rand(300), masks=LateMasks(torch.arange(300), make))
    best = found[torch.tensor([7, 250, 3])]
    assert made == []
    assert [mask.width for mask in best.masks.crop(3000 * 4000)] == [4000] * 3
    assert made == [1, 1, 1], "one mask of 12 million float32 is 48 MB, two are over the bound"
    assert list(found[torch.tensor([], dtype=torch.long)].masks.crop(1)) == []
