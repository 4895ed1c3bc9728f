"""JSON as RFC 8259 has it, read into plain values; what is not JSON is named and located."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from boxyard_schemas.content import identify, image_format

from .problems import refuse

_MAX_NAME = 64
_MAX_DIGITS = 400
"""Digits of a whole number: more are beyond what a float holds, and slow to read."""


def read_json(data: bytes | bytearray) -> Any:
    """The value that a body holds, in UTF-8 with or without a byte order mark.

    Raises:
        InvalidRequest: it is not JSON, or ambiguous: says what, and where in the body.
    """
    text = _decoded(data)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        raise refuse("body", _why_not_json(text, error)) from None
    except RecursionError:
        raise refuse("body", "it is nested too deeply") from None
    if flaw := next(_flaws(value), None):
        raise refuse(*flaw)
    return value


def _decoded(data: bytes | bytearray) -> str:
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        name = encoding.upper()[:6]
        raise refuse("body", f"this is written in {name}: send JSON in UTF-8, as RFC 8259 has it")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        head = bytes(data[:1024])
        kind = image_format(head)
        name = f"a {kind} image" if kind else identify(head).name
        what = f"this is {name}; JSON is sent in UTF-8, and byte {error.start} is not"
        raise refuse("body", what) from None


class _Repeated:
    """Stands for a member that its object has more than once."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                members[name] = _Repeated()
            seen.add(name)
    return members


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf


def _flaws(value: Any) -> Iterator[tuple[str, str]]:
    """What Python reads and JSON has not, as a dotted path and a sentence."""
    waiting: list[tuple[str, Any]] = [("body", value)]
    while waiting:
        where, found = waiting.pop()
        match found:
            case _Repeated():
                yield where, "this member stands here more than once; leave one"
            case float() if not math.isfinite(found):
                yield where, "NaN, Infinity and numbers beyond 1.8e308 are not JSON"
            case str() if not _encodable(found):
                yield where, "half of a surrogate pair (\\ud800 to \\udfff) is not a character"
            case list():
                waiting += ((_member(where, str(at)), item) for at, item in enumerate(found))
            case dict():
                for name, member in found.items():
                    if not _encodable(name):
                        yield where, "the name of a member has half of a surrogate pair in it"
                    waiting.append((_member(where, name), member))


def _member(where: str, name: str) -> str:
    return name[:_MAX_NAME] if where == "body" else f"{where}.{name[:_MAX_NAME]}"


def _encodable(text: str) -> bool:
    return text.isascii() or not _SURROGATE.search(text)


def _why_not_json(text: str, error: json.JSONDecodeError) -> str:
    at = error.pos
    if not text.strip():
        return "it is empty; send a JSON object"
    if text.startswith("\ufeff"):
        return "it begins with two byte order marks; leave out both"
    if not text[:at].strip() and not text[at:].lstrip().startswith(('"', "{", "[")):
        return f"this is {identify(text[at : at + 1024].encode()).name}, not JSON"
    why = next((why for form, why in _SYNTAX if form.match(text, at)), _MESSAGES.get(error.msg))
    if text[:at].rstrip().endswith(",") and text[at : at + 1] in ("}", "]"):
        why = _COMMA
    place = f"line {error.lineno}, column {error.colno}"
    return f"this is not JSON: {why or 'this does not belong here'} ({place})"


_SURROGATE = re.compile("[\ud800-\udfff]")
_COMMA = "a comma follows the last member or item"
_SYNTAX = tuple(
    (re.compile(form), why)
    for form, why in (
        (r"\s*\Z", "it was cut off: its end is missing"),
        (r'"[^"]*\Z', "it was cut off: a text has no end"),
        (r",\s*[}\]]", _COMMA),
        (r"[}\]]", "a value is missing"),
        (r"'", "names and texts stand in double quotes"),
        (r"(None|True|False|undefined)\b", "the words are null, true and false"),
        (r"//|/\*|#", "JSON has no comments"),
        (r"[\0-\x1f]", "a line break or another control character in a text is written as \\n"),
        (r"\\", "a backslash in a text is written as \\\\"),
    )
)
_MESSAGES = {
    "Extra data": "there is more behind the end of the JSON",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name enclosed in double quotes": "names stand in double quotes",
}
