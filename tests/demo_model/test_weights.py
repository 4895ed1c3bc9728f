import hashlib
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO

from boxyard_ledger import EmbeddedRedis
from demo_model.evaluate import find, score
from demo_model.network import WEIGHTS
from server_process import serving_process
from yard import Yard

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
    torch.set_num_threads(1)
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


def test_the_same_figures_come_through_the_queue(
    truth: COCO, results: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many threads as here, one picture at a time: other sums end in other last bits.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with EmbeddedRedis(tmp_path / "redis") as redis:
        yard = Yard(tmp_path, redis)
        try:
            yard.ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
            yard.worker("--max-batch", "1", detector="mmdetection")
            with serving_process(tmp_path, yard.settings) as server:
                said, saved = evaluate(server.url, "key-a", tmp_path)
        finally:
            yard.close()
    for kind in ("bbox", "segm"):
        expected = score(truth, results, kind)
        assert (said[kind]["AP"], said[kind]["AP50"]) == (expected["AP"], expected["AP50"])
    assert len(saved) == len(results) > 1000
    for ours, theirs in zip(saved, results, strict=True):
        assert ours["score"] == theirs["score"]
        assert ours["bbox"] == pytest.approx(theirs["bbox"], abs=1e-4)
        assert ours["category_id"] == theirs["category_id"]
        assert ours["segmentation"]["counts"].encode() == theirs["segmentation"]["counts"]


def evaluate(url: str, key: str, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `boxyard evaluate` says of the demo pictures, and what it saves."""
    known = ["--annotations", str(IMAGES / "truth.json"), "--images", str(IMAGES)]
    words = ["--model", "rtmdet-ins_demo", *known, "--save", str(folder / "found.json"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "boxyard_producer.cli", "evaluate", *words],
        env={**os.environ, "BOXYARD_URL": url, "BOXYARD_API_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads((folder / "found.json").read_text())


def agrees(note: dict[str, Any], result: dict[str, Any]) -> bool:
    same = all(note[key] == result[key] for key in ("image_id", "category_id"))
    return same and bool(rle.iou([result["bbox"]], [note["bbox"]], [0])[0, 0] >= 0.5)
