"""COCO sets with what a model found in them, drawn by a seed, and what pycocotools says of both."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from boxyard_producer.evaluation import FIGURES, Truth, judge

Set = dict[str, Any]
WIDTH, HEIGHT = 120, 90
NAMES = ("red", "green", "blue")


def draw(seed: int, images: int = 4) -> tuple[Set, list[dict[str, Any]]]:
    """A clean set and results that agree with it more or less."""
    chance = random.Random(seed)
    truth: Set = {
        "info": {},
        "licenses": [],
        "images": [
            {"id": id, "file_name": f"{id}.png", "width": WIDTH, "height": HEIGHT}
            for id in range(1, images + 1)
        ],
        "categories": [{"id": id, "name": name} for id, name in enumerate(NAMES, 1)],
        "annotations": [],
    }
    results = []
    for id in range(1, 5 * images + 1):
        # Every category and image is there, and ids are of both ends.
        image, category = 1 + id % images, 1 + (id // images) % len(NAMES)
        box = _box(chance)
        outline = _corners(box)
        mask = chance.choice([[outline], _halves(box), _run_lengths(box), _compressed([outline])])
        area = rle.area(_encoded(mask))
        truth["annotations"].append(
            {"id": id, "image_id": image, "category_id": category, "bbox": box,
             "area": float(area), "iscrowd": int(id % 7 == 0), "segmentation": mask}
        )  # fmt: skip
        for _ in range(chance.randrange(3)):
            shifted = [*(side + chance.randrange(3) for side in box[:2]), *box[2:]]
            found = _compressed([_corners(shifted)])
            score = chance.random()
            results.append(
                {"image_id": image, "category_id": category, "bbox": shifted, "score": score,
                 "segmentation": found}
            )  # fmt: skip
    return truth, results


def lay_out(folder: Path, truth: Set, text: bytes | None = None) -> Path:
    """Writes a set with its images."""
    for id in {image.get("id") for image in truth["images"] if isinstance(image, dict)}:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{id}.png")
    path = folder / "truth.json"
    path.write_bytes(json.dumps(truth).encode() if text is None else text)
    return path


def expected(truth: Set, results: Sequence[dict[str, Any]], kind: str) -> dict[str, float]:
    """Pycocotools' own figures, by its own reading."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        found = coco.loadRes(_parts(results, kind)) if results else COCO()
        evaluation = COCOeval(coco, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(FIGURES, map(float, evaluation.stats), strict=True))


def judged(truth: Truth, results: Sequence[dict[str, Any]], kind: Any) -> dict[str, float]:
    """Our figures, with pycocotools' -1 where there is none."""
    figures = judge(truth, copy.deepcopy(list(results)), kind)
    return {name: -1 if figure is None else figure for name, figure in figures.items()}


def _parts(results: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    other = "segmentation" if kind == "bbox" else "bbox"
    return [{name: each[name] for name in each if name != other} for each in results]


def _box(chance: random.Random) -> list[int]:
    x, y = chance.randrange(2, 50), chance.randrange(2, 40)
    return [x, y, chance.randrange(8, 60), chance.randrange(8, 40)]


def _corners(box: Sequence[int]) -> list[int]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _halves(box: Sequence[int]) -> list[list[float]]:
    """Two triangles that reach to the box's sides, with coordinates between pixels."""
    x, y, width, height = box
    right, bottom = x + width, y + height
    return [
        [x, y, right - 0.5, y, x, y + height * 0.75],
        [right, bottom, x + 2.25, bottom, right, y + height / 3],
    ]


def _encoded(mask: Any) -> Any:
    if isinstance(mask, list):
        return rle.merge(rle.frPyObjects(mask, HEIGHT, WIDTH))
    return mask if isinstance(mask["counts"], str) else rle.frPyObjects(mask, HEIGHT, WIDTH)


def _compressed(polygons: list[list[int]]) -> dict[str, Any]:
    mask = _encoded(polygons)
    return {"size": mask["size"], "counts": mask["counts"].decode()}


def _run_lengths(box: Sequence[int]) -> dict[str, Any]:
    x, y, width, height = box
    gap = HEIGHT - height
    between = [length for _ in range(width - 1) for length in (height, gap)]
    first = x * HEIGHT + y
    counts = [first, *between, height]
    return {"size": [HEIGHT, WIDTH], "counts": [*counts, HEIGHT * WIDTH - sum(counts)]}
