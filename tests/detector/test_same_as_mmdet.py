"""The detector gives the numbers of mmdet's own `DetInferencer` on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from boxyard_worker.detector.contract import CroppedMask, ModelImage, RawDetections

DEMO, TINY = "rtmdet-ins_demo", "rtmdet-ins_tiny_8xb32-300e_coco"
ODD_SIZES = [
    (1, 1), (7, 3), (3, 7), (33, 500), (500, 33), (641, 479), (479, 641), (256, 256), (1023, 97),
    (5, 200),
]  # fmt: skip


def decode(masks: list[dict[str, Any]], width: int, height: int) -> NDArray[np.bool_]:
    """Masks `(n, height, width)`; of thin pictures mmdet's come out narrower, never wider."""
    whole = np.zeros((len(masks), height, width), bool)
    for row, mask in zip(whole, masks, strict=True):
        found = coco.decode(mask).astype(bool)
        row[: found.shape[0], : found.shape[1]] = found
    return whole


def lay_out(masks: tuple[CroppedMask, ...], width: int, height: int) -> NDArray[np.bool_]:
    whole = np.zeros((len(masks), height, width), bool)
    for row, mask in zip(whole, masks, strict=True):
        row[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width] = mask.unpack()
    return whole


def count_differing_pixels(ours: RawDetections, theirs: dict[str, Any], image: ModelImage) -> int:
    """Asserts equal labels, scores and boxes to 1e-4; counts mask pixels that differ."""
    assert ours.labels.tolist() == theirs["labels"]
    np.testing.assert_allclose(ours.scores, theirs["scores"], atol=1e-4, rtol=0)
    size = np.array([image.width, image.height] * 2)
    expected = np.array(theirs["bboxes"]).reshape(-1, 4)
    np.testing.assert_allclose(ours.boxes / size, expected / size, atol=1e-4, rtol=0)
    assert ours.masks is not None
    mine = lay_out(ours.masks, image.width, image.height)
    return int((mine != decode(theirs["masks"], image.width, image.height)).sum())


@pytest.mark.parametrize("model", [DEMO, TINY])
def test_a_picture_of_any_size_alone_gives_mmdets_boxes_scores_and_masks(
    model: str, start_trial: Any, paint: Any, wrap: Any
) -> None:
    trial = start_trial(model)
    found = 0
    for width, height in ODD_SIZES:
        pixels = paint(width, height)
        image = wrap(trial.detector, pixels)
        (theirs,) = trial.inferencer(pixels)["predictions"]
        (ours,) = trial.detector.detect([image])
        assert count_differing_pixels(ours, theirs, image) == 0, (width, height)
        found += len(ours.scores)
    assert found > 50, "the model must find something for this to mean anything"


def test_held_out_pictures_give_mmdets_results_with_the_trained_demo_weights(
    start_trial: Any, wrap: Any
) -> None:
    trial = start_trial(DEMO, trained=True)
    pictures = sorted((Path(__file__).parents[2] / "examples/images").glob("*.jpg"))
    assert len(pictures) == 20
    for picture in pictures:
        pixels = cv2.imread(str(picture))
        image = wrap(trial.detector, pixels)
        (theirs,) = trial.inferencer(str(picture))["predictions"]
        (ours,) = trial.detector.detect([image])
        assert count_differing_pixels(ours, theirs, image) == 0, picture.name


def test_pictures_of_one_batch_give_what_they_give_alone(
    start_trial: Any, paint: Any, wrap: Any
) -> None:
    trial = start_trial(DEMO)
    pictures = [paint(*size) for size in [(320, 240), (240, 320), (300, 200), (256, 256)]]
    images = [wrap(trial.detector, pixels) for pixels in pictures]
    assert len({trial.detector.group(image) for image in images}) == 1
    together = trial.detector.detect(images)
    differing = pixels_in_all = 0
    for pixels, image, ours in zip(pictures, images, together, strict=True):
        (theirs,) = trial.inferencer(pixels)["predictions"]
        differing += count_differing_pixels(ours, theirs, image)
        pixels_in_all += len(ours.scores) * image.width * image.height
    assert differing <= pixels_in_all * 1e-4


def test_a_png_file_gives_what_mmdet_reads_from_it(
    start_trial: Any, paint: Any, wrap: Any, tmp_path: Path
) -> None:
    trial = start_trial(DEMO)
    cv2.imwrite(str(tmp_path / "blobs.png"), paint(301, 211))
    (theirs,) = trial.inferencer(str(tmp_path / "blobs.png"))["predictions"]
    image = wrap(trial.detector, cv2.imread(str(tmp_path / "blobs.png")))
    (ours,) = trial.detector.detect([image])
    assert count_differing_pixels(ours, theirs, image) == 0


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


@pytest.mark.parametrize("piece_bytes", [64 << 20, 200_000])
def test_another_mask_head_gives_the_same_in_one_piece_and_in_many(
    piece_bytes: int, start_trial: Any, paint: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = start_trial("mask-rcnn_r50_fpn_1x_coco", 192)
    monkeypatch.setattr("boxyard_worker.detector.heads.PIECE_BYTES", piece_bytes)
    pictures = [paint(160, 120), paint(161, 119)]
    images = [wrap(trial.detector, pixels) for pixels in pictures]
    assert trial.detector.group(images[0]) == trial.detector.group(images[1])
    together = trial.detector.detect(images)
    for pixels, image, ours in zip(pictures, images, together, strict=True):
        (theirs,) = trial.inferencer(pixels)["predictions"]
        differing = count_differing_pixels(ours, theirs, image)
        assert differing <= len(ours.scores) * image.width * image.height * 1e-4
        assert ours.masks
        assert any(mask.width for mask in ours.masks)


def test_masks_nobody_asks_for_are_never_made(
    start_trial: Any, paint: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = start_trial("mask-rcnn_r50_fpn_1x_coco", 192).detector
    made: list[object] = []
    monkeypatch.setattr("boxyard_worker.detector.heads.crop_masks", made.append)
    (found,) = detector.detect([wrap(detector, paint(320, 240), masks=False)])
    assert len(found.scores) > 3
    assert found.masks is None
    assert made == []
