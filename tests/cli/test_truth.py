"""The demo's comparison with the truth."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from boxyard_schemas import ImageSuccess

EXAMPLES = Path(__file__).parents[2] / "examples"
TRUTH = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
    "categories": [{"id": 7, "name": "can"}, {"id": 8, "name": "carton"}],
    "annotations": [
        {"image_id": 1, "category_id": 7, "bbox": [10, 10, 20, 20]},
        {"image_id": 1, "category_id": 8, "bbox": [60, 10, 20, 20]},
    ],
}
CAN, CARTON = (0.1, 0.2, 0.3, 0.6), (0.6, 0.2, 0.8, 0.6)


@pytest.fixture
def truth(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    return pytest.importorskip("truth")


def found(label: str, corners: tuple[float, ...], score: float = 0.9) -> dict[str, Any]:
    box = dict(zip(("topX", "topY", "bottomX", "bottomY"), corners, strict=True))
    return {"label": label, "label_id": 0, "score": score, "box": box}


def agreement(truth: ModuleType, tmp_path: Path, *boxes: dict[str, Any]) -> tuple[float, float]:
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    info = {"width": 100, "height": 50, "sha256": "0"}
    outcome = ImageSuccess.model_validate({"boxes": boxes, "image": info})
    compared = truth.compare(
        truth.read_truth(tmp_path / "truth.json"), [("a.jpg", outcome)], score=0.5
    )
    return compared.recall, compared.precision


def test_what_is_right_counts_and_nothing_counts_twice(truth: ModuleType, tmp_path: Path):
    both = found("can", CAN), found("carton", CARTON)
    assert agreement(truth, tmp_path, *both) == (1, 1)
    assert agreement(truth, tmp_path, *both, found("can", CAN)) == (1, pytest.approx(2 / 3))
    assert agreement(truth, tmp_path) == (0, 0)


def test_a_wrong_label_a_loose_box_and_a_low_score_are_no_hits(truth: ModuleType, tmp_path: Path):
    right = found("can", CAN)
    assert agreement(truth, tmp_path, right, found("can", CARTON)) == (0.5, 0.5)
    assert agreement(truth, tmp_path, right, found("carton", (0.7, 0.2, 0.9, 0.6))) == (0.5, 0.5)
    assert agreement(truth, tmp_path, right, found("carton", CARTON, score=0.4)) == (0.5, 1)
