"""What a model found: a superset of the AzureML response."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .ids import JobId
from .jobs import MaskForm, ModelName
from .words import Response

Unit = Annotated[float, Field(ge=0, le=1)]


class Box(Response):
    """Corners, divided by the original picture's width (X) and height (Y)."""

    topX: Unit  # noqa: N815 - AzureML's names
    topY: Unit  # noqa: N815
    bottomX: Unit  # noqa: N815
    bottomY: Unit  # noqa: N815


class PixelBox(Response):
    """Corners in pixels of the original picture."""

    x1: float
    y1: float
    x2: float
    y2: float


class RleMask(Response):
    """COCO's compressed run-length encoding of the full-size mask."""

    size: tuple[int, int] = Field(description="Height and width in pixels.")
    counts: str


class Detection(Response):
    """One instance."""

    box: Box
    label: str
    label_id: int = Field(ge=0)
    score: Unit
    polygon: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="Segments, each x1, y1, x2, y2, … divided by width and height."
    )
    holes: tuple[tuple[float, ...], ...] | None = Field(
        default=None,
        description="Segments around holes. A point is in the mask when an odd number of all "
        "segments surround it.",
    )
    mask: RleMask | None = None
    pixel_box: PixelBox | None = None


class ImageInfo(Response):
    """The picture as it was read, upright."""

    width: int = Field(ge=1, description="Pixels.")
    height: int = Field(ge=1, description="Pixels.")
    sha256: str = Field(description="Of the bytes as fetched, hex.")


class Timings(Response):
    """Milliseconds spent on one picture, by stage; `infer` includes waiting for batch mates."""

    fetch: float = 0
    decode: float = 0
    infer: float = 0
    encode: float = 0


class ImageSuccess(Response):
    """A picture that was read. `boxes` is empty when nothing was found."""

    status: Literal["succeeded"] = "succeeded"
    reference: str | None = None
    boxes: tuple[Detection, ...]
    masks: MaskForm = Field(
        default="polygon",
        description="The form of the instances' masks: the one that was asked for, or `none` where "
        "the model finds boxes alone.",
    )
    image: ImageInfo
    timings_ms: Timings = Timings()


class ImageFailure(Response):
    """A picture that could not be read; `crashed` means that it ended the model's process."""

    status: Literal["failed", "crashed"] = "failed"
    reference: str | None = None
    code: str = Field(description="Stable, such as `undecodable-image` or `fetch-failed`.")
    detail: str


ImageOutcome = Annotated[ImageSuccess | ImageFailure, Field(discriminator="status")]


class Provenance(Response):
    """What made the predictions."""

    model: ModelName
    weights_sha256: str
    config_sha256: str
    device: str
    precision: str
    versions: dict[str, str]


class JobResult(Response):
    """Answer of `GET /v1/jobs/{id}/result`, and what is copied to a caller's bucket."""

    version: Literal[1] = 1
    job: JobId
    images: tuple[ImageOutcome, ...] = Field(description="In the order of the request.")
    provenance: Provenance
    metadata: dict[str, str] = Field(default={})
