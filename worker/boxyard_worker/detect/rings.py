"""A mask's boundary as closed rings of points, in pixels.

Two forms, for rasterisers are of two kinds. `trace_centres` goes through the centres of the
boundary's pixels, as OpenCV's contours and the AzureML cards do: what fills a polygon with its
edge, such as `cv2.fillPoly`, gives the mask again. `trace_edges` goes along the pixels' edges: what
asks whether a pixel's centre lies inside, such as pycocotools, gives the mask again.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int64]
"""Points `(n, 2)`, x and y in pixels; the last is joined to the first."""


class Rings(NamedTuple):
    """Around a mask's parts, and around the holes in them."""

    outer: tuple[Ring, ...]
    holes: tuple[Ring, ...]


def trace_centres(mask: NDArray[np.bool_]) -> Rings:
    """Rings through pixels' centres; a ring of fewer than three pixels is left out.

    Args:
        mask: `(height, width)`. Parts that touch at a corner are one.
    """
    contours, tree = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    if tree is None:
        return Rings((), ())
    rings = [_closed(contour.reshape(-1, 2).astype(np.int64)) for contour in contours]
    inside = tree.reshape(-1, 4)[:, 3] >= 0
    kept = [(ring, hole) for ring, hole in zip(rings, inside, strict=True) if len(ring) >= 3]
    return Rings(
        tuple(ring for ring, hole in kept if not hole), tuple(ring for ring, hole in kept if hole)
    )


def _closed(ring: Ring) -> Ring:
    # A line's contour goes there and back; of a straight one, OpenCV keeps the ends alone.
    if len(ring) != 2 or np.abs(ring[1] - ring[0]).max() < 2:
        return ring
    return np.vstack([ring, ring[1] - np.sign(ring[1] - ring[0])])


def trace_edges(mask: NDArray[np.bool_]) -> Rings:
    """Rings along pixels' edges: pixel (x, y) reaches from there to (x + 1, y + 1).

    Args:
        mask: `(height, width)`. Parts that touch at a corner are apart.
    """
    corners, across, down = _corners(np.pad(mask, 1))
    left = set(range(len(corners)))
    outer, holes = list[Ring](), list[Ring]()
    for start in range(len(corners)):
        if start not in left:
            continue
        ring = _follow(start, across, down)
        left.difference_update(ring)
        x, y = corners[start]  # the first from above: right below it the ring's inside begins
        (outer if mask[y, x] else holes).append(corners[ring])
    return Rings(tuple(outer), tuple(holes))


def _corners(padded: NDArray[np.bool_]) -> tuple[Ring, list[int], list[int]]:
    """Where the boundary turns, row by row, and each corner's partner in its row and column."""
    above, below = padded[:-1], padded[1:]
    tl, tr, bl, br = above[:, :-1], above[:, 1:], below[:, :-1], below[:, 1:]
    touching = (tl == br) & (tr == bl) & (tl != tr)  # two pixels meet here: a corner of each
    y, x = np.nonzero((tl ^ tr ^ bl ^ br) | touching)
    times = 1 + touching[y, x]
    y, x = y.repeat(times), x.repeat(times)
    number = np.arange(len(x))
    # Boundaries begin and end in turn, along a row and along a column. Of two corners in one
    # place the first is the left one; it is also the upper one, unless it belongs to tr and bl.
    second = np.zeros(len(x), bool)
    second[1:] = (x[1:] == x[:-1]) & (y[1:] == y[:-1])
    column = np.lexsort((second ^ (touching & tr)[y, x], y, x))
    down = np.empty_like(number)
    down[column] = column[number ^ 1]
    return np.stack([x, y], axis=1), (number ^ 1).tolist(), down.tolist()


def _follow(start: int, across: list[int], down: list[int]) -> list[int]:
    ring, at = list[int](), start
    while True:
        ring += (at, across[at])
        at = down[across[at]]
        if at == start:
            return ring
