"""How far two answers for one picture are apart."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from boxyard_schemas import Parameters
from boxyard_worker.detect.encode import encode
from boxyard_worker.detector.contract import RawDetections

MOST = 1000
"""Instances that a request may have at most; YOLOX without a threshold finds more."""

_TIE = 1e-5
"""At the cut, one of several instances that score alike may be another."""


@dataclass(frozen=True)
class Difference:
    """The largest differences.

    Attributes:
        strangers: instances without a partner.
        score: of partners' scores.
        box: of partners' corners, as a share of the picture's sides, or of themselves where they
            lie far beside it: an untrained YOLOX sees things of a thousand pictures' size.
        pixels: set in one mask and not in its partner, as a share of all pixels of all masks.
        masks: that are not empty.
        instances: compared.
    """

    strangers: int = 0
    score: float = 0.0
    box: float = 0.0
    pixels: float = 0.0
    masks: int = 0
    instances: int = 0

    def __or__(self, other: Difference) -> Difference:
        """The larger of each."""
        return Difference(*map(max, astuple(self), astuple(other)))

    def within(self, score: float, box: float, pixels: float) -> bool:
        """Whether nothing is a stranger or further apart."""
        near = self.score <= score and self.box <= box and self.pixels <= pixels
        return near and not self.strangers


def compare(
    ours: RawDetections, theirs: dict[str, Any], width: int, height: int, *, ordered: bool = True
) -> Difference:
    """Compares our answer with mmdet's.

    Args:
        ours: what the worker's parts answered.
        theirs: a prediction of mmdet's inferencer.
        width: of the picture, pixels.
        height: of the picture, pixels.
        ordered: whether partners stand at the same place, best score first; else the nearest
            of the same label is an instance's partner.
    """
    expected = _sorted(theirs)
    size = np.array([width, height] * 2)
    scores, boxes = expected["scores"], expected["bboxes"] / size
    apart = np.maximum(
        np.abs(ours.scores[None] - scores[:, None]),
        _part(ours.boxes[None] / size, boxes[:, None]).max(-1, initial=0),
    )
    apart[expected["labels"][:, None] != ours.labels[None]] = np.inf
    place = np.arange(len(scores))
    if len(ours.scores) != len(scores):
        return Difference(strangers=abs(len(ours.scores) - len(scores)))
    if not len(scores):
        return Difference()
    mates = place if ordered else apart.argmin(1)
    known = np.isfinite(apart[place, mates])
    judged = ordered | (scores > scores.min() + _TIE)
    clear = place[known & judged]
    mates = mates[clear]
    pairs = [(int(mate), int(place)) for mate, place in zip(mates, clear, strict=True)]
    pixels, masks = _compare_masks(ours, expected["masks"], pairs, (width, height))
    return Difference(
        strangers=int((~known & judged).sum()),
        score=float(np.abs(ours.scores[mates] - scores[clear]).max(initial=0)),
        box=float(_part(ours.boxes[mates] / size, boxes[clear]).max(initial=0)),
        pixels=pixels,
        masks=masks,
        instances=len(scores),
    )


def _part(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far corners are apart; both may be infinite, for YOLOX takes a power of e."""
    share = np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))
    return np.where(ours == theirs, 0, np.where(np.isnan(share), np.inf, share))


def _sorted(theirs: dict[str, Any]) -> dict[str, Any]:
    """Best first; without scores below 0, which an untrained Mask Scoring R-CNN gives."""
    scores = np.array(theirs["scores"], np.float32)
    order = np.argsort(-scores, kind="stable")[: min(MOST, (scores >= 0).sum())]
    return {
        "scores": scores[order],
        "labels": np.array(theirs["labels"], np.int64)[order],
        "bboxes": np.array(theirs["bboxes"], np.float64).reshape(-1, 4)[order],
        "masks": [theirs["masks"][place] for place in order] if "masks" in theirs else None,
    }


def _compare_masks(
    ours: RawDetections,
    theirs: list[dict[str, Any]] | None,
    pairs: list[tuple[int, int]],
    size: tuple[int, int],
) -> tuple[float, int]:
    """The share of pixels that differ, and how many masks are not empty."""
    assert (ours.masks is None) == (theirs is None)
    if theirs is None or not pairs:
        return 0.0, 0
    width, height = size
    words = encode(
        ours, classes=("",) * 2000, parameters=Parameters(masks="rle"), width=width, height=height
    )
    differing = filled = 0
    for mate, place in pairs:
        mine, other = words[mate].mask, theirs[place]
        assert mine is not None
        filled += int(coco.area(other) > 0)
        if (mine.counts, list(mine.size)) != (other["counts"], list(other["size"])):
            differing += _differing(mine.model_dump(), other)
    return differing / (len(pairs) * width * height), filled


def _differing(mine: dict[str, Any], other: dict[str, Any]) -> int:
    """Pixels; of thin pictures mmdet's masks come out narrower, and what is missing is empty."""
    whole = coco.decode({**mine, "size": list(mine["size"])})
    found = coco.decode(other)
    missing = whole.copy()
    missing[: found.shape[0], : found.shape[1]] ^= found
    return int(missing.sum())
