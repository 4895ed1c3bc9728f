"""What is said of models over HTTP; their names and what is known of them are the catalogue's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from .catalogue import CatalogueEntry, Paper, Task
from .words import Request, Response


class ModelFilters(Request):
    """Which models `GET /v1/models` lists: those that fit everything that is given."""

    task: Task | None = None
    text: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        default=None, description="Words, each in the name, the family or the paper's title."
    )
    family: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        default=None, description="The index's collection, in any case.", examples=["RTMDet"]
    )
    min_box_ap: float | None = Field(default=None, ge=0, le=100, description="In percent.")
    min_mask_ap: float | None = Field(default=None, ge=0, le=100, description="In percent.")
    max_size: int | None = Field(
        default=None,
        ge=1,
        description="Of the input's longer side, in pixels; pictures are scaled to it.",
    )
    served: bool | None = Field(default=None, description="Whether a worker serves it.")


class ModelWorker(Response):
    """A detect worker that lives."""

    id: str
    host: str
    device: str
    warm: bool


class Model(CatalogueEntry):
    """A model that jobs may name. Part of the answer of `GET /v1/models`.

    Of one that only its workers know there is no more than its name and what they say.
    """

    aliases: tuple[str, ...] = Field(
        default=(), description="Other current spellings, also with prefixes."
    )
    task: Task | None = None  # type: ignore[assignment]  # every model of the catalogue has one
    family: str = Field(default="", description="The index's collection.")
    config: str = Field(default="", description='Path below mmdet\'s `configs` folder, or "".')
    box_ap: float | None = Field(default=None, description="In percent, as published.")
    mask_ap: float | None = Field(default=None, description="In percent, as published.")
    input_size: tuple[int, int] | None = Field(
        default=None, description="Width and height in pixels that pictures are scaled to fit."
    )
    licence: str = Field(default="", description="Of the weights, as an SPDX identifier.")
    training_data: str = ""
    paper: Paper | None = None
    classes: tuple[str, ...] = Field(default=(), description="Known once a worker serves it.")
    workers: tuple[ModelWorker, ...] = ()
    queued: int = Field(default=0, description="Ready jobs that wait.")
    queue: str


class ModelList(Response):
    """Answer of `GET /v1/models`."""

    models: tuple[Model, ...]
