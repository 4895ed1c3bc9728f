"""JSON bodies, read and checked beside the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.message import Message
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from boxyard_schemas.errors import InvalidRequest

from .json_text import read_json
from .problems import BodyRefused, refuse
from .shares import Shares

Word = TypeVar("Word", bound=BaseModel)

_MAX_PARTS = 20_000
"""Members and items of one body. Each costs a microsecond or two in which Python does nothing
else, whatever thread it is in; a job of 64 pictures has some hundreds."""


class JsonRequest(Request):
    """A request whose body FastAPI reads by the same rules."""

    async def json(self) -> Any:
        """The body.

        Raises:
            BodyRefused: it is not JSON.
        """
        try:
            return read_json(await self.body())
        except InvalidRequest as error:
            raise BodyRefused(error) from None


def json_body(word: type[Word]) -> Callable[[Request], Awaitable[Word]]:
    """A dependency that reads the body as a word of the contract."""

    async def read_json_body(request: Request) -> Word:
        data = await _read(request)
        shares: Shares = request.app.state.shares
        return await shares.run(request.state.key.tenant, _parse, word, data)

    return read_json_body


def describe_body(word: type[BaseModel]) -> dict[str, Any]:
    """The same for OpenAPI, as an operation's `openapi_extra`."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{word.__name__}"}}}
    return {"requestBody": {"required": True, "content": content}}


def refuse_encoding(request: Request) -> None:
    """Bodies come as they are.

    Raises:
        InvalidRequest: this one is compressed.
    """
    encoding = request.headers.get("content-encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        raise refuse("header.Content-Encoding", f"{encoding[:64]!r}; send the body as it is")


async def _read(request: Request) -> bytearray:
    refuse_encoding(request)
    if not _is_json(request.headers.get("content-type", "")):
        raise _missing()
    body, parts = bytearray(), 0
    async for chunk in request.stream():
        parts += sum(map(chunk.count, (b",", b"[", b"{")))
        if parts > _MAX_PARTS:
            raise refuse("body", f"more than {_MAX_PARTS} members and items")
        body += chunk
    if not body:
        raise _missing()
    return body


def _parse(word: type[Word], data: bytearray) -> Word:
    try:
        return word.model_validate(read_json(data))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in found]
        ) from None


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )


def _missing() -> RequestValidationError:
    return RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
