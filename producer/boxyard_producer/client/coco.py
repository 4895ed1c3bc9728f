"""Instances as COCO writes results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from boxyard_schemas import Detection, ImageInfo, ImageSuccess, PixelBox


class CocoRle(TypedDict):
    """Height and width in pixels; compressed run lengths."""

    size: list[int]
    counts: str


class _Box(TypedDict):
    image_id: int
    category_id: int
    bbox: list[float]
    score: float


class CocoInstance(_Box, total=False):
    """One instance: `bbox` is x, y, width, height in pixels.

    `segmentation` is there where there is a mask: run lengths, or rings of x, y, … in pixels. COCO
    has no rings around holes, which are therefore filled; run lengths keep them.
    """

    segmentation: CocoRle | list[list[float]]


def write_coco(
    image: ImageSuccess, image_id: int, categories: Mapping[str, int] | None
) -> list[CocoInstance]:
    """Every instance of a picture, best score first."""
    return [_write(found, image.image, image_id, categories) for found in image.boxes]


def corners(found: Detection, size: ImageInfo) -> PixelBox:
    """The box in pixels: as the worker wrote it, or by the picture's size."""
    if found.pixel_box:
        return found.pixel_box
    box = found.box
    return PixelBox(
        x1=box.topX * size.width,
        y1=box.topY * size.height,
        x2=box.bottomX * size.width,
        y2=box.bottomY * size.height,
    )


def _write(
    found: Detection, size: ImageInfo, image_id: int, categories: Mapping[str, int] | None
) -> CocoInstance:
    box = corners(found, size)
    instance: CocoInstance = {
        "image_id": image_id,
        "category_id": found.label_id if categories is None else categories[found.label],
        "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
        "score": found.score,
    }
    if found.mask:
        instance["segmentation"] = {"size": list(found.mask.size), "counts": found.mask.counts}
    elif found.polygon:
        instance["segmentation"] = [_in_pixels(ring, size) for ring in found.polygon]
    return instance


def _in_pixels(ring: tuple[float, ...], size: ImageInfo) -> list[float]:
    sides = (size.width, size.height)
    return [share * sides[place % 2] for place, share in enumerate(ring)]
