"""Held-out pictures on disk: JPEG files beside their truth in COCO's form."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from demo_model.render import CLASSES, Picture, render

HELD_OUT_SEEDS = range(500)
"""Far from the training seeds."""
DEMO_PICTURES = 20
EXAMPLES = Path(__file__).parents[1] / "images"


def shows_well(picture: Picture) -> bool:
    """Whether a picture suits the demo: two to five objects, none small, none cut off."""
    height, width = picture.owners.shape
    boxes = [picture.box(index) for index in range(len(picture.labels))]
    whole = all(
        left > 1 and top > 1 and right < width - 1 and bottom < height - 1
        for left, top, right, bottom in boxes
    )
    large = all(picture.mask(index).mean() > 0.015 for index in range(len(boxes)))
    return 2 <= len(boxes) <= 5 and whole and large


def choose_demo_seeds() -> list[int]:
    """The first held-out seeds whose pictures suit the demo."""
    chosen = []
    for seed in HELD_OUT_SEEDS:
        if shows_well(render(seed)):
            chosen.append(seed)
        if len(chosen) == DEMO_PICTURES:
            break
    return chosen


def describe(picture: Picture, image_id: int, index: int) -> dict[str, Any]:
    """One object's annotation: category, box (x, y, width, height), area and RLE mask."""
    mask = picture.mask(index)
    left, top, right, bottom = picture.box(index)
    encoded = rle.encode(np.asfortranarray(mask, np.uint8))
    return {
        "image_id": image_id,
        "category_id": picture.labels[index] + 1,
        "bbox": [left, top, right - left, bottom - top],
        "area": int(mask.sum()),
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
        "iscrowd": 0,
    }


def write(folder: Path, seeds: Iterable[int]) -> None:
    """Render the seeds into a folder, one JPEG each, and write `truth.json` beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for seed in seeds:
        picture = render(seed)
        height, width = picture.owners.shape
        name = f"shelf-{seed:04}.jpg"
        cv2.imwrite(str(folder / name), picture.image, [cv2.IMWRITE_JPEG_QUALITY, 88])
        images.append({"id": seed, "file_name": name, "height": height, "width": width})
        annotations.extend(describe(picture, seed, index) for index in range(len(picture.labels)))
    numbered = [{"id": number, **entry} for number, entry in enumerate(annotations, 1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    truth = {"images": images, "annotations": numbered, "categories": categories}
    (folder / "truth.json").write_text(json.dumps(truth, separators=(",", ":")) + "\n")


def main() -> None:
    """Write the demo's pictures, or with a folder the whole held-out set there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="for the whole held-out set")
    folder = parser.parse_args().folder
    if folder:
        write(folder, HELD_OUT_SEEDS)
    else:
        write(EXAMPLES, choose_demo_seeds())


if __name__ == "__main__":
    main()
