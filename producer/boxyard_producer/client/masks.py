"""Masks of a picture's full size, from run lengths or from rings. Needs the extra `arrays`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxyard_schemas import Detection, ImageSuccess, RleMask

Mask = NDArray[np.bool_]
Ring = NDArray[np.float64]
"""Points `(n, 2)`, x and y in pixels; the last is joined to the first."""


def draw_masks(image: ImageSuccess) -> NDArray[np.bool_] | None:
    """The masks `(n, height, width)` of all instances; none where no instance has one."""
    if not any(found.mask or found.polygon for found in image.boxes):
        return None
    width, height = image.image.width, image.image.height
    rings = [_rings(found, width, height) for found in image.boxes]
    masks = np.zeros((len(rings), height, width), np.bool_)
    for found, own, mask in zip(image.boxes, rings, masks, strict=True):
        if found.mask:
            mask[...] = _unroll(found.mask)
        elif own:
            _fill(mask, own, along_edges=image.masks == "outline")
    return masks


def _rings(found: Detection, width: int, height: int) -> list[Ring]:
    rings = (*(found.polygon or ()), *(found.holes or ()))
    return [np.rint(np.array(ring).reshape(-1, 2) * (width, height)) for ring in rings]


def _fill(mask: Mask, rings: list[Ring], *, along_edges: bool) -> None:
    """Sets the pixels that an odd number of rings surround."""
    height, width = mask.shape
    turns = np.zeros((height, width + 1), np.uint8)
    for ring in rings:
        for begin, end in _sides(ring - 0.5 if along_edges else ring):
            _turn(turns, begin, end)
    mask[...] = np.bitwise_xor.accumulate(turns, axis=1)[:, :-1]
    if not along_edges:
        _draw(mask, rings)


def _turn(turns: NDArray[np.uint8], begin: Ring, end: Ring) -> None:
    """Notes from which pixel of each row on inside and outside change places."""
    (x0, y0), (x1, y1) = (begin, end) if begin[1] <= end[1] else (end, begin)
    rows = np.arange(np.ceil(y0), np.ceil(y1), dtype=np.int64)
    if rows.size:
        crossed = np.ceil(x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))).astype(np.int64)
        turns[rows, np.clip(crossed, 0, turns.shape[1] - 1)] ^= 1


def _draw(mask: Mask, rings: list[Ring]) -> None:
    """Sets the pixels through whose centres the rings go."""
    for ring in rings:
        for begin, end in _sides(ring):
            count = int(np.abs(end - begin).max()) + 1
            x, y = np.rint(np.linspace(begin, end, count)).astype(np.int64).T
            mask[np.clip(y, 0, mask.shape[0] - 1), np.clip(x, 0, mask.shape[1] - 1)] = True


def _sides(ring: Ring) -> list[tuple[Ring, Ring]]:
    return list(zip(ring, np.roll(ring, -1, axis=0), strict=True))


def _unroll(rle: RleMask) -> Mask:
    """COCO's compressed run lengths: runs of 0, 1, 0, … down the columns."""
    runs = _runs(rle.counts)
    height, width = rle.size
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def _runs(text: str) -> list[int]:
    """Numbers of five bits a character, low ones first.

    From the fourth on they are differences to the last but one.
    """
    runs, value, shift = list[int](), 0, 0
    for character in text.encode("ascii"):
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    return runs
