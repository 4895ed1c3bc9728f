"""The detector gives the numbers of mmdet's own `DetInferencer` on the same weights.

`make same-numbers` does it for more models, in their own size and through a worker's processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxyard_worker.detect.decoders import Decoders
from same_numbers.comparison import compare
from same_numbers.path import MOST_PIXELS, read
from same_numbers.pictures import paint_file

DEMO, MASK_RCNN = "rtmdet-ins_demo", "mask-rcnn_r50_fpn_1x_coco"
ODD_SIZES = [(1, 1), (7, 3), (3, 7), (500, 33), (641, 479), (257, 255), (1023, 97), (5, 200)]
SIDES = {
    "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco": 96,
    "deformable-detr-refine-twostage_r50_16xb2-50e_coco": 256,
    "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco": 160,
    "rtmdet-ins_tiny_8xb32-300e_coco": 192,
    "rtmdet_tiny_8xb32-300e_coco": 192,
    MASK_RCNN: 128,
    "mask2former_r50_8xb2-lsj-50e_coco": 128,
    "solov2-light_r18_fpn_ms-3x_coco": 160,
    "yolox_tiny_8x8_300e_coco": 160,
    "centernet_r18_8xb16-crop512-140e_coco": 160,
}
WITH_MASKS = ("rtmdet-ins", "mask", "solo")


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    pool = Decoders(1, max_pixels=MOST_PIXELS, deadline_s=60)
    yield pool
    pool.close()


def expect(trial: Any, picture: bytes, folder: Path) -> dict[str, Any]:
    """What mmdet reads and finds in a file."""
    (folder / "picture.png").write_bytes(picture)
    theirs: dict[str, Any] = trial.inferencer(str(folder / "picture.png"))["predictions"][0]
    return theirs


@pytest.mark.parametrize("model", list(SIDES))
def test_a_file_gives_what_mmdet_finds_in_it_alone_and_with_a_mate(
    model: str, start_trial: Any, decoders: Decoders, tmp_path: Path
) -> None:
    stages = 1 if model.startswith("sparse") else None  # six of 13 million parameters each
    trial = start_trial(model, SIDES[model], keep=model == MASK_RCNN, stages=stages)
    picture, mate = paint_file(161, 119), paint_file(161, 119, upside_down=True)
    plan = trial.detector.describe().plan
    images = [read(decoders, file, plan) for file in (picture, mate)]
    (alone,), together = trial.detector.detect(images[:1]), trial.detector.detect(images)
    theirs = [expect(trial, file, tmp_path) for file in (picture, mate)]
    found = compare(alone, theirs[0], 161, 119)
    assert found.within(score=1e-4, box=1e-4, pixels=0), found
    assert found.instances >= 10
    assert (found.masks > 0) is model.startswith(WITH_MASKS)
    for ours, expected in zip(together, theirs, strict=True):
        # Scores that are alike may change places by their rounding, and what an untrained YOLOX
        # takes the exponential of is large.
        found = compare(ours, expected, 161, 119, ordered=False)
        assert found.within(score=1e-4, box=1e-3, pixels=1e-4), found


def test_a_picture_of_any_size_gives_mmdets_boxes_scores_and_masks(
    start_trial: Any, decoders: Decoders, tmp_path: Path
) -> None:
    trial = start_trial(DEMO)
    for size in ODD_SIZES:
        picture = paint_file(*size)
        (ours,) = trial.detector.detect([read(decoders, picture, trial.detector.describe().plan)])
        found = compare(ours, expect(trial, picture, tmp_path), *size)
        assert found.within(score=1e-4, box=1e-4, pixels=0), (size, found)
        assert found.instances > 3
        assert found.masks > 0


def test_the_requests_limits_cut_the_same_list_short(
    start_trial: Any, paint: Any, wrap: Any
) -> None:
    detector = start_trial(DEMO).detector
    pixels = paint(320, 240)
    (everything,) = detector.detect([wrap(detector, pixels)])
    threshold = float(np.median(everything.scores))
    (best,) = detector.detect([wrap(detector, pixels, score_threshold=threshold)])
    (three,) = detector.detect([wrap(detector, pixels, max_detections=3, masks=False)])
    kept = int((everything.scores >= threshold).sum())
    assert 3 < kept < len(everything.scores)
    assert best.scores.tolist() == everything.scores[:kept].tolist()
    assert best.masks is not None
    assert everything.masks is not None
    assert best.masks == everything.masks[:kept]
    assert three.boxes.tolist() == everything.boxes[:3].tolist()
    assert three.masks is None


def test_masks_made_in_many_pieces_are_those_made_at_once(
    start_trial: Any, paint: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = start_trial(MASK_RCNN).detector
    images = [wrap(detector, paint(*size), max_detections=12) for size in [(160, 120), (161, 119)]]
    whole = detector.detect(images)
    seen: list[int] = []
    head = detector._model.roi_head.mask_head
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    monkeypatch.setattr("boxyard_worker.detector.late.PIECE_BYTES", 200_000)
    for one, same in zip(whole, detector.detect(images), strict=True):
        assert one.masks
        assert one.masks == same.masks
    hook.remove()
    assert seen == [12, 12], "its convolutions round otherwise over part of a picture's instances"


def test_masks_nobody_asks_for_are_never_made(
    start_trial: Any, paint: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, pixels = start_trial(MASK_RCNN).detector, paint(320, 240)
    asked, unasked = (wrap(detector, pixels, masks=masks) for masks in (True, False))
    with_masks, mate = detector.detect([asked, unasked])
    made: list[object] = []
    monkeypatch.setattr("boxyard_worker.detector.late.crop_masks", made.append)
    (found,) = detector.detect([unasked])
    assert len(found.scores) > 3
    assert found.masks is None
    assert made == []
    for boxes in (mate.boxes, found.boxes):  # mmdet's mask head is what takes them to the picture
        np.testing.assert_allclose(boxes, with_masks.boxes, rtol=1e-4, atol=1e-2)
