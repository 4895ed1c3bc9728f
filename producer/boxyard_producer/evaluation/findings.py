"""What the service found, in the form of COCO's results."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from boxyard_schemas import (
    Detection,
    ImageFailure,
    ImageOutcome,
    ImageSuccess,
    Provenance,
    RleMask,
)
from boxyard_schemas.errors import InvalidRequest, ServiceError

from .images import Picture
from .masks import decode_runs, encode
from .remarks import Malformed
from .truth import Truth

Found: TypeAlias = dict[str, Any]
"""One instance: `image_id`, `category_id`, `score`, `bbox` (x, y, width, height in pixels) and,
where the model segments, `segmentation` (compressed RLE)."""


@dataclass
class Findings:
    """Collects outcomes, in whatever order they come.

    Attributes:
        truth: of the set.
        failures: pictures that could not be read; nothing was found in them.
        weights: sha256 of the weights that worked on them; more than one is a mixture.
    """

    truth: Truth
    failures: dict[Picture, ImageFailure] = field(default_factory=dict)
    weights: set[str] = field(default_factory=set)
    _found: dict[int, list[Found]] = field(default_factory=dict)

    def add(self, picture: Picture, outcome: ImageOutcome, provenance: Provenance) -> None:
        """Takes what became of one picture.

        Raises:
            InvalidRequest: the picture or a label is none of the annotation file's.
            ServiceError: the outcome lacks what was asked for.
        """
        self.weights.add(provenance.weights_sha256)
        if isinstance(outcome, ImageFailure):
            self.failures[picture] = outcome
            return
        _refuse_other_size(picture, outcome)
        self.truth.check_labels(found.label for found in outcome.boxes)
        self._found[picture.id] = [self._result(picture, found) for found in outcome.boxes]

    def results(self) -> list[Found]:
        """Everything that was found, by picture in the file's order, best first."""
        return [found for each in self.truth.pictures for found in self._found.get(each.id, ())]

    def _result(self, picture: Picture, found: Detection) -> Found:
        if found.pixel_box is None:
            raise ServiceError(f"The server gave no pixel box for {picture.path.name}.")
        corners = found.pixel_box
        width, height = corners.x2 - corners.x1, corners.y2 - corners.y1
        bbox = [corners.x1, corners.y1, width, height]
        if not all(map(math.isfinite, (*bbox, found.score))):
            raise ServiceError(f"The server gave a box or score for {picture.path.name} that is no "
                               "finite number.")  # fmt: skip
        result: Found = {
            "image_id": picture.id,
            "category_id": self.truth.categories[found.label],
            "score": found.score,
            "bbox": bbox,
        }
        if found.mask:
            result["segmentation"] = _checked(picture, found.mask)
        return result


def _checked(picture: Picture, mask: RleMask) -> dict[str, Any]:
    """A mask that pycocotools can take: damaged run lengths would make it run for ever."""
    size = [picture.height, picture.width]
    try:
        if list(mask.size) != size:
            raise Malformed("it has another size than the image")
        rle = encode(decode_runs(mask.counts), picture.width, picture.height)
    except Malformed as fault:
        raise ServiceError(
            f"The server gave a damaged mask for {picture.path.name}: {fault.what}."
        ) from fault
    return {"size": size, "counts": rle["counts"].decode("ascii")}


def _refuse_other_size(picture: Picture, outcome: ImageSuccess) -> None:
    seen = outcome.image
    if (seen.width, seen.height) != (picture.width, picture.height):
        raise InvalidRequest(
            f"{picture.path} has {seen.width}x{seen.height} pixels, and the annotation file says "
            f"{picture.width}x{picture.height}: these are not the pictures that it describes."
        )
