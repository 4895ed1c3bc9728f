"""The trained demo model, through the queue, says what mmdet's own inferencer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from safetensors.torch import load_file

from boxyard_schemas import ImageSuccess
from boxyard_worker.detector import mmdetection
from boxyard_worker.detector.catalogue import find_model
from pictures import png
from sweeps import Sample
from yard import MODEL, Yard

PICTURES = sorted((Path(__file__).parents[2] / "examples" / "images").glob("*.jpg"))
ODD_SIZES = [(2, 2), (7, 3), (33, 500), (500, 33), (641, 479), (479, 641), (257, 255), (1023, 97),
             (5, 200), (320, 240)]  # fmt: skip
PARAMETERS = {"score_threshold": 0.0, "max_detections": 100, "masks": "rle"}


def paint(width: int, height: int) -> bytes:
    """Coloured blobs, the same for the same size."""
    import cv2

    random = np.random.default_rng(width * 10007 + height)
    coarse = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return png(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def inferencer(tmp_path: Path) -> Any:
    from mmdet.apis import DetInferencer
    from mmengine.config import Config

    mmdetection.init_default_scope("mmdet")
    torch.set_num_threads(1)
    entry = find_model(MODEL)
    config = Config.fromfile(str(entry.config))
    config.visualizer = {"type": "DetLocalVisualizer"}  # mmdet's inferencer insists on one
    checkpoint = tmp_path / "weights.pth"
    assert entry.weights is not None
    torch.save({"meta": {}, "state_dict": load_file(entry.weights)}, checkpoint)
    return DetInferencer(config, str(checkpoint), "cpu", show_progress=False)


def check(ours: ImageSuccess, theirs: dict[str, Any], mask_share: float) -> int:
    """Compares one picture, masks up to a share of their pixels; returns how many instances."""
    width, height = ours.image.width, ours.image.height
    assert [box.label_id for box in ours.boxes] == theirs["labels"]
    scores = [box.score for box in ours.boxes]
    np.testing.assert_allclose(scores, theirs["scores"], atol=1e-4, rtol=0)
    corners = np.array([list(box.box.model_dump().values()) for box in ours.boxes]).reshape(-1, 4)
    expected = np.array(theirs["bboxes"]).reshape(-1, 4) / [width, height, width, height]
    np.testing.assert_allclose(corners, np.clip(expected, 0, 1), atol=1e-4, rtol=0)
    for box, mask in zip(ours.boxes, theirs["masks"], strict=True):
        assert box.mask is not None
        if mask_share == 0 and mask["size"] == [height, width]:
            assert box.mask.counts == _text(mask["counts"])
        else:
            assert _differing(box.mask.model_dump(), mask) <= mask_share * width * height
    return len(scores)


def _text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> int:
    """Pixels; of thin pictures mmdet's masks come out narrower, and what is missing is empty."""
    mine, other = coco.decode({**ours, "size": list(ours["size"])}), coco.decode(theirs)
    whole = np.zeros_like(mine)
    whole[: other.shape[0], : other.shape[1]] = other
    return int((mine != whole).sum())


@pytest.mark.sweep
@pytest.mark.timeout(600)  # it computes all the time, and machines differ
def test_pictures_alone_and_in_batches_give_mmdets_results(
    yard: Yard,
    inferencer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sample: Sample,
) -> None:
    # As many threads as here: sums that are split otherwise end in other last bits.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    files = list(sample.of(PICTURES, 4))
    for width, height in sample.of(ODD_SIZES, 5):
        files.append(tmp_path / f"{width}x{height}.png")
        files[-1].write_bytes(paint(width, height))
    theirs = [inferencer(str(file))["predictions"][0] for file in files]
    yard.worker("--max-batch", "8", "--max-wait-ms", "100", detector="mmdetection")
    found = 0
    for file, expected in zip(files, theirs, strict=True):
        (image,) = yard.result(yard.accept([file.read_bytes()], parameters=PARAMETERS)).images
        assert isinstance(image, ImageSuccess), image
        found += check(image, expected, mask_share=0)
    assert found > 5 * len(files), "the model must find something for this to mean anything"
    together = yard.accept([file.read_bytes() for file in files], parameters=PARAMETERS)
    for image, expected in zip(yard.result(together).images, theirs, strict=True):
        assert isinstance(image, ImageSuccess), image
        check(image, expected, mask_share=1e-4)
