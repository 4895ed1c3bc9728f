"""An annotation file's entries, and the reading of their values."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxyard_schemas.content import TEXT, UNKNOWN, identify
from boxyard_schemas.errors import InvalidRequest

from .remarks import Malformed, Remarks, printable, repeated, some_of

_PARTS = ("images", "categories", "annotations")
_DECIMAL = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_LARGEST_ID = 2**63 - 1
"""pycocotools sorts ids as numpy's integers."""


@dataclass(frozen=True)
class Record:
    """One entry of an annotation file, while it is read.

    Attributes:
        label: how users are shown which one it is.
        values: as they stand in the file.
        remarks: where repairs of its values are noted.
    """

    label: str
    values: dict[str, Any]
    remarks: Remarks

    def has(self, name: str) -> bool:
        """Whether there is such a value; null is none."""
        return self.values.get(name) is not None

    def repair(self, what: str) -> None:
        """Notes a repair of this record."""
        self.remarks.repair(what, self.label)

    def number(self, value: object, name: str) -> float:
        """A finite number; one that is written as text is read.

        Raises:
            Malformed: it is none.
        """
        if isinstance(value, str) and is_number(value):
            self.repair("Numbers written as text were read as numbers")
            value = float(value)
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = float(value)
                if math.isfinite(number):
                    return number
        except OverflowError:
            pass
        raise Malformed(f"`{name}` is not a finite number", printable(value))

    def numbers(self, values: object, name: str) -> list[float]:
        """A list of finite numbers.

        Raises:
            Malformed: it is none.
        """
        if not isinstance(values, list):
            raise Malformed(f"`{name}` is not a list of numbers")
        return [self.number(value, name) for value in values]

    def whole(self, name: str) -> int:
        """A whole number.

        Raises:
            Malformed: it is missing, or none.
        """
        value = self.values.get(name)
        if value is None:
            raise Malformed(f"`{name}` is missing")
        if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,30}\s*", value, re.ASCII):
            self.repair("Numbers written as text were read as numbers")
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            value = self._without_fraction(value, name)
        if abs(value) > _LARGEST_ID:
            raise Malformed(f"`{name}` is too large")
        return value

    def _without_fraction(self, value: object, name: str) -> int:
        with contextlib.suppress(Malformed):
            if (number := self.number(value, name)).is_integer():
                return int(number)
        raise Malformed(f"`{name}` is not a whole number", printable(value))

    def text(self, name: str) -> str:
        """Text that is not empty.

        Raises:
            Malformed: it is missing, or none.
        """
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip("\ufeff \t\r\n"):
            raise Malformed(f"`{name}` is missing or not a text")
        return value


def is_number(text: str) -> bool:
    """Whether a text is a number, as files have them that write all values as texts."""
    return bool(_DECIMAL.fullmatch(text))


def read_parts(path: Path) -> dict[str, list[Any]]:
    """The three lists of an annotation file: images, categories, annotations.

    A byte order mark is passed over, and UTF-16 is read.

    Raises:
        InvalidRequest: it is no JSON, or no COCO annotation file.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        content = json.loads(data, object_pairs_hook=_object)
    except RecursionError:
        raise _refusal(path, "it is nested too deeply") from None
    except Malformed as error:
        raise _refusal(path, error.what) from error
    except ValueError as error:
        raise _refusal(path, _why_not_json(data, error)) from error
    if not isinstance(content, dict):
        raise _refusal(path, f"it holds {_kind(content)}, not an object with {_listed()}")
    for part in _PARTS:
        if part not in content:
            raise _refusal(path, f"`{part}` is missing; such a file has {_listed()}")
        if not isinstance(content[part], list):
            raise _refusal(path, f"`{part}` is {_kind(content[part])}, not a list")
        if not content[part]:
            raise _refusal(path, f"`{part}` is empty, so there is nothing to compare with")
    return {part: content[part] for part in _PARTS}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        again = repeated(name for name, _ in pairs)
        known = f", whose id is {printable(members['id'])}," if "id" in members else ""
        raise Malformed(f"an object{known} has {some_of(again)} more than once")
    return members


def _why_not_json(data: bytes, error: ValueError) -> str:
    content = identify(data)
    if content.name not in ("JSON", TEXT.name, UNKNOWN.name):
        return f"it is {content.name}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    if not isinstance(error, json.JSONDecodeError):
        return "it has a number of thousands of digits"
    if error.msg == "Extra data":
        return (
            f"line {error.lineno} goes on after the end of the JSON; JSON Lines and several "
            "documents in a file are not read"
        )
    return f"invalid JSON: {error}"


def open_records(entries: list[Any], noun: str, remarks: Remarks) -> list[Record]:
    """The entries of a list that are objects; others are faults."""
    records = []
    for number, values in enumerate(entries, 1):
        name = values.get("id") if isinstance(values, dict) else None
        known = isinstance(name, int | str) and str(name)
        label = f"{noun} {name}" if known else f"{noun} number {number} of the list"
        if isinstance(values, dict):
            records.append(Record(label, values, remarks))
        else:
            remarks.fault("Not an object", label)
    return records


def _listed() -> str:
    return ", ".join(f"`{part}`" for part in _PARTS)


def _kind(value: object) -> str:
    names = {list: "a list", dict: "an object", str: "a text", type(None): "null"}
    return names.get(type(value), "a number")


def _refusal(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"{path} is no COCO annotation file: {why}.")
