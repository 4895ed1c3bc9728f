"""The twelve figures of COCO's evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Literal

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pydantic import BaseModel, ConfigDict, Field

from .findings import Found
from .truth import Truth

FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl",
           "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")  # fmt: skip
"""In pycocotools' order: precision over all IoU, at 0.5 and 0.75, for small, medium and large
instances; recall with 1, 10 and 100 detections a picture and category, and by size with 100."""

Figures = dict[str, float | None]
"""Each of `FIGURES`, from 0 to 1; none where the set has nothing of that size."""


class Evaluation(BaseModel):
    """What `boxyard evaluate` says."""

    model_config = ConfigDict(frozen=True)

    model: str
    images: int = Field(description="Pictures that were evaluated.")
    failed: int = Field(description="Of these could not be read, and count as empty.")
    weights_sha256: tuple[str, ...]
    bbox: Figures
    segm: Figures | None = Field(None, description="Where model and annotations have masks.")


def judge(truth: Truth, results: Sequence[Found], kind: Literal["bbox", "segm"]) -> Figures:
    """COCO's figures for the pictures of a truth.

    Args:
        truth: the set; pictures beyond its `pictures` are left out.
        results: of these pictures, each with what `kind` needs.
        kind: boxes or masks.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports each step
        evaluation = COCOeval(truth.coco, _index(truth.coco, results, kind), kind)
        evaluation.params.imgIds = sorted(picture.id for picture in truth.pictures)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = zip(FIGURES, map(float, evaluation.stats), strict=True)
    return {name: figure if figure >= 0 else None for name, figure in figures}


def _index(truth: COCO, results: Sequence[Found], kind: str) -> COCO:
    if not results:
        nothing = COCO()
        nothing.dataset = {**truth.dataset, "annotations": []}
        nothing.createIndex()
        return nothing
    # It writes into what it is given; and a mask's size is its own, not its box's.
    left_out = "bbox" if kind == "segm" else "segmentation"
    return truth.loadRes(
        [{name: value for name, value in found.items() if name != left_out} for found in results]
    )
