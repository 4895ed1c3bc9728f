import hashlib
import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from demo_model.evaluate import find, score
from demo_model.network import WEIGHTS

# Some of mmdet's sources hold escapes that the compiler warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*invalid escape", "ignore:.*torch.cuda.amp", "ignore:torch.meshgrid"
)
IMAGES = Path(__file__).parents[2] / "examples" / "images"


@pytest.fixture(scope="module")
def truth() -> COCO:
    with redirect_stdout(io.StringIO()):
        return COCO(str(IMAGES / "truth.json"))


@pytest.fixture(scope="module")
def results(truth: COCO) -> list[dict[str, Any]]:
    return find(WEIGHTS, IMAGES, truth)


def test_the_weights_are_those_of_the_model_card(demo: Path) -> None:
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest in (demo / "MODEL_CARD.md").read_text()


def test_the_weights_are_small_enough_to_ship() -> None:
    assert WEIGHTS.stat().st_size < 10_000_000


def test_the_model_finds_what_the_demo_pictures_show(
    truth: COCO, results: list[dict[str, Any]]
) -> None:
    sure = [result for result in results if result["score"] >= 0.5]
    annotations = truth.loadAnns(truth.getAnnIds())
    found = [note for note in annotations if any(agrees(note, result) for result in sure)]
    right = [result for result in sure if any(agrees(note, result) for note in annotations)]
    assert len(found) >= 0.75 * len(annotations)
    assert len(right) >= 0.9 * len(sure)


def test_boxes_and_masks_reach_the_promised_precision(
    truth: COCO, results: list[dict[str, Any]]
) -> None:
    assert score(truth, results, "bbox")["AP"] > 0.6
    assert score(truth, results, "segm")["AP"] > 0.6


def agrees(note: dict[str, Any], result: dict[str, Any]) -> bool:
    same = all(note[key] == result[key] for key in ("image_id", "category_id"))
    return same and bool(rle.iou([result["bbox"]], [note["bbox"]], [0])[0, 0] >= 0.5)
