"""What every word of the contract has in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
)

ItemT = TypeVar("ItemT")
ModelT = TypeVar("ModelT", bound=BaseModel)

if TYPE_CHECKING:
    Items = Sequence[ItemT]
else:
    Items = tuple[ItemT, ...]
"""Several items of a request: a tuple, for type checkers any sequence, such as a list."""


class Request(BaseModel):
    """Comes from a caller: a member that the contract does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Response(BaseModel):
    """Goes to a caller: a newer server may say more than an older client knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Timestamp = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""A moment in UTC, RFC 3339 on the wire."""


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Stands last beside a strict integer: 5.0 is one, as in JSON Schema; "5" and true are not."""


def changed(model: ModelT, /, **members: Any) -> ModelT:
    """A copy with other members, checked as if it were made anew.

    Raises:
        ValidationError: a member does not fit.
    """
    return type(model).model_validate({**dict(model), **members})


def utc_now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def printable(text: str) -> str:
    r"""What a terminal and JSON show of a text out of Redis, whose bytes may be anything.

    All but ASCII is escaped as Python does, a backslash too, so that no two texts look the same:
    the byte FF, which is no UTF-8, is `\udcff`.
    """
    return text.encode("unicode_escape").decode()
