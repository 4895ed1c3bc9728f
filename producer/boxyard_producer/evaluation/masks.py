"""Masks of an annotation file and of results, checked before pycocotools' C code sees them.

That code trusts what it is given: run lengths that are damaged make it run for ever or read past
their end. Everything is therefore decoded and checked here, and encoded anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from .records import Record
from .remarks import Malformed

Rle: TypeAlias = dict[str, Any]
"""`size`: height and width in pixels; `counts`: compressed run lengths, made by pycocotools."""

_DIGITS = 6
"""Characters of one run length: five bits each, so 30 bits, more than any image has pixels."""
_PASSES = 4
"""Times that a polygon may pass a pixel, on average over the image."""
_OTHER_SUM = "The run lengths are not as many pixels as the image has"
_POLYGON = "A polygon is not a flat list of x, y, …"


class Mask(NamedTuple):
    """A mask that was checked.

    Attributes:
        rle: its run lengths.
        box: around it, as COCO's own are made: x, y, width, height.
        outlined: whether it was given as polygons.
    """

    rle: Rle
    box: tuple[float, ...]
    outlined: bool

    @property
    def area(self) -> float:
        """How many pixels it has."""
        return float(coco_masks.area(self.rle))


def read_mask(record: Record, width: int, height: int) -> Mask | None:
    """The `segmentation` of an annotation; none where there is none.

    Raises:
        Malformed: it is neither polygons nor run lengths of the image's size.
    """
    mask = record.values.get("segmentation")
    if mask is None or mask in ([], {}, [[]]):
        return None
    if isinstance(mask, dict):
        rle = _read_runs(record, mask, width, height)
        return Mask(rle, tuple(map(float, coco_masks.toBbox(rle))), outlined=False)
    if not isinstance(mask, list):
        raise Malformed("`segmentation` is neither polygons nor run lengths")
    if not any(isinstance(each, list | dict) for each in mask):
        record.repair("A polygon that was not in a list of polygons was put into one")
        mask = [mask]
    polygons = [_read_polygon(record, each, width, height) for each in mask]
    rle = coco_masks.merge(coco_masks.frPyObjects(polygons, height, width))
    x, y = (np.concatenate([polygon[axis::2] for polygon in polygons]) for axis in (0, 1))
    box = (float(each) for each in (x.min(), y.min(), np.ptp(x), np.ptp(y)))
    return Mask(rle, tuple(box), outlined=True)


def encode(runs: NDArray[np.int64], width: int, height: int) -> Rle:
    """Compressed run lengths of runs of 0, 1, 0, … down the columns.

    Raises:
        Malformed: they are not as many pixels as the image has.
    """
    if (runs < 0).any():
        raise Malformed("A run length is negative")
    if (runs > width * height).any() or int(runs.sum()) != width * height:
        raise Malformed(_OTHER_SUM)
    if (runs[1:] == 0).any():  # pycocotools stops early where two masks have an empty run
        flat = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
        rle: Rle = coco_masks.encode(flat.reshape(height, width, order="F"))
    else:
        rle = coco_masks.frPyObjects(
            {"size": [height, width], "counts": runs.tolist()}, height, width
        )
    return rle


def decode_runs(text: str) -> NDArray[np.int64]:
    """The run lengths of COCO's compressed form: numbers of five bits a character, low ones first.

    From the fourth on they are differences to the last but one.

    Raises:
        Malformed: it has characters of no number, or ends within one.
    """
    codes = np.array(bytearray(text, "utf-8", "surrogatepass"), np.int64) - 48
    if not codes.size or ((codes < 0) | (codes > 63)).any() or codes[-1] & 0x20:
        raise Malformed("The compressed run lengths are damaged")
    ends = np.flatnonzero((codes & 0x20) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    digits = ends - starts + 1
    if digits.max() > _DIGITS:
        raise Malformed("The compressed run lengths are damaged")
    places = np.arange(codes.size) - np.repeat(starts, digits)
    runs = np.add.reduceat((codes & 0x1F) << (5 * places), starts)
    runs -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * digits), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _read_runs(record: Record, mask: dict[str, Any], width: int, height: int) -> Rle:
    if record.numbers(mask.get("size"), "size") != [height, width]:
        raise Malformed("The size of the run lengths, [height, width], is not the image's")
    counts = mask.get("counts")
    if isinstance(counts, str):
        return encode(decode_runs(counts), width, height)
    runs = np.array(record.numbers(counts, "counts"))
    if (runs != np.floor(runs)).any():
        raise Malformed("A run length is not a whole number")
    if (runs > width * height).any():  # nor would it fit into 64 bits
        raise Malformed(_OTHER_SUM)
    return encode(runs.astype(np.int64), width, height)


def _read_polygon(record: Record, polygon: object, width: int, height: int) -> list[float]:
    if not isinstance(polygon, list) or any(isinstance(each, list | dict) for each in polygon):
        raise Malformed(_POLYGON)
    flat = record.numbers(polygon, "segmentation")
    if len(flat) % 2:
        raise Malformed("A polygon has an odd number of coordinates")
    if len(flat) < 6:
        raise Malformed("A polygon has fewer than three points")
    points = np.reshape(flat, (-1, 2))
    sides = np.array([width, height])
    if (points < -sides).any() or (points > 2 * sides).any():
        raise Malformed("A polygon lies far outside of its image")
    steps = np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1)
    if steps.sum() > _PASSES * (sides + 1).prod():  # pycocotools takes memory for every step
        raise Malformed("A polygon is longer than its image has room for")
    return flat
