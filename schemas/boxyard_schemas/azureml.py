"""The contract of AzureML's MMDetection model cards, for `POST /score`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, StrictInt, StringConstraints, model_validator

from .predictions import Box
from .words import WHOLE, Request, Response

_Row = Annotated[str, StringConstraints(min_length=1)]


class InputData(Request):
    """A pandas frame in `split` orientation with one column."""

    columns: tuple[Literal["image"]] = ("image",)
    index: tuple[Annotated[StrictInt, WHOLE], ...] = Field(
        (), description="Row labels; they do not change the order."
    )
    data: tuple[_Row | tuple[_Row], ...] = Field(
        min_length=1, description="Each a base64 picture or a URL, bare or in a list of one."
    )

    @model_validator(mode="after")
    def _index_fits(self) -> InputData:
        if self.index and len(self.index) != len(self.data):
            raise ValueError(f"index has {len(self.index)} entries for {len(self.data)} rows")
        return self

    def rows(self) -> tuple[str, ...]:
        """The pictures in input order."""
        return tuple(row if isinstance(row, str) else row[0] for row in self.data)


class ScoreRequest(Request):
    """Body of `POST /score`."""

    input_data: InputData
    params: dict[str, Any] = Field({})


class ScoredBox(Response):
    """One instance, as the cards give it."""

    box: Box
    label: str
    score: Annotated[float, Field(ge=0, le=1)]
    polygon: tuple[tuple[float, ...], ...] | None = None


class ScoredImage(Response):
    """One picture's instances."""

    boxes: tuple[ScoredBox, ...]


class ScoreResponse(RootModel[tuple[ScoredImage, ...]]):
    """Answer of `POST /score`: a list in input order."""
