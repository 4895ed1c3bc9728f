"""How predictions compare with what is truly in the demo's pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from boxyard_schemas import Detection, ImageSuccess

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Instance:
    """One object; corners are x1, y1, x2, y2 in pixels."""

    label: str
    corners: Corners


@dataclass(frozen=True)
class Agreement:
    """Counts over all pictures; a hit has the right label and an IoU of 0.5 or more."""

    true: int
    predicted: int
    hits: int

    @property
    def recall(self) -> float:
        """The share of true objects that were found."""
        return self.hits / self.true if self.true else 0.0

    @property
    def precision(self) -> float:
        """The share of predictions that are right."""
        return self.hits / self.predicted if self.predicted else 0.0


def read_truth(path: Path) -> dict[str, list[Instance]]:
    """Objects by file name, from COCO annotations."""
    coco = json.loads(path.read_bytes())
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    names = {each["id"]: each["file_name"] for each in coco["images"]}
    truth: dict[str, list[Instance]] = defaultdict(list)
    for each in coco["annotations"]:
        x, y, width, height = each["bbox"]
        instance = Instance(labels[each["category_id"]], (x, y, x + width, y + height))
        truth[names[each["image_id"]]].append(instance)
    return truth


def compare(
    truth: dict[str, list[Instance]], outcomes: Iterable[tuple[str, ImageSuccess]], score: float
) -> Agreement:
    """Match predictions of at least `score` with the truth, each object at most once."""
    true = predicted = hits = 0
    for name, outcome in outcomes:
        found = [_instance(each, outcome) for each in outcome.boxes if each.score >= score]
        true, predicted = true + len(truth[name]), predicted + len(found)
        hits += _count_hits(truth[name], found)
    return Agreement(true, predicted, hits)


def _count_hits(truth: list[Instance], found: list[Instance]) -> int:
    """Best scores first, as the predictions come."""
    left = list(truth)
    for each in found:
        match = max(left, key=lambda other: _overlap(each, other), default=None)
        if match is not None and _overlap(each, match) >= 0.5:
            left.remove(match)
    return len(truth) - len(left)


def _overlap(one: Instance, other: Instance) -> float:
    """IoU; nothing where the labels differ."""
    (left, top, right, bottom), (x1, y1, x2, y2) = one.corners, other.corners
    width = min(right, x2) - max(left, x1)
    height = min(bottom, y2) - max(top, y1)
    if one.label != other.label or width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - shared)


def _instance(found: Detection, outcome: ImageSuccess) -> Instance:
    width, height, box = outcome.image.width, outcome.image.height, found.box
    corners = box.topX * width, box.topY * height, box.bottomX * width, box.bottomY * height
    return Instance(found.label, corners)
