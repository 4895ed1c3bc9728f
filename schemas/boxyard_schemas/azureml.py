"""The contract of AzureML's MMDetection model cards, for `POST /score`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    RootModel,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from .predictions import Box
from .words import WHOLE, Items, Request, Response


def _or_say(sentence: str) -> WrapValidator:
    """One sentence for whatever does not fit, in place of one for each form that it could have."""

    def check(value: object, fit: ValidatorFunctionWrapHandler) -> object:
        try:
            return fit(value)
        except ValidationError:
            raise ValueError(sentence) from None

    return WrapValidator(check)


def _some_rows(value: object) -> object:
    if isinstance(value, list | tuple) and value:
        return value
    raise ValueError("must be a list of rows, at least one, each with one picture")


def _frame(value: object) -> object:
    if isinstance(value, dict | InputData):
        return value
    raise ValueError('must be an object: {"columns": ["image"], "data": ["a picture", …]}')


_Picture = Annotated[str, StringConstraints(min_length=1)]
_Row = Annotated[
    _Picture | tuple[_Picture],
    _or_say("must be one base64 picture or one URL, bare or in a list of one"),
]


class InputData(Request):
    """A pandas frame in `split` orientation with one column."""

    columns: Annotated[
        tuple[Literal["image"]],
        _or_say('must be ["image"], the one column; whatever else you would say goes to params'),
    ] = ("image",)
    index: Annotated[
        Items[Annotated[StrictInt, WHOLE]],
        _or_say("must be a list of whole numbers, one a row, or left out"),
    ] = Field(default=(), description="Row labels; they do not change the order.")
    data: Annotated[Items[_Row], BeforeValidator(_some_rows)] = Field(
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

    input_data: Annotated[InputData, BeforeValidator(_frame)]
    params: Annotated[
        dict[str, Any], _or_say('must be an object, such as {"score_threshold": 0.5}, or left out')
    ] = Field(default={})


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
