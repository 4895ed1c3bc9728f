"""What pydantic found, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic_core import ErrorDetails

_MOST, _NAME = 100, 64
_FORMS = frozenset({"url", "base64", "s3", "upload"})
_NO_OBJECT = frozenset({"missing", "model_attributes_type", "model_type", "dict_type"})
_PLACES = frozenset({"body", "query", "path", "header"})


def explain(errors: Sequence[ErrorDetails]) -> list[dict[str, str]]:
    """Each of pydantic's errors, up to a bound, as `where` (a dotted path) and `what`."""
    shown = errors[:_MOST]
    return [
        {"where": _where(found["loc"]), "what": _what(found)}
        for found in shown
        if not _follows(found, shown)
    ]


def _follows(found: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """A list is also too short when its items failed: that is no second mistake."""
    place = found["loc"]
    return found["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


def _where(place: Sequence[str | int]) -> str:
    """The path as the caller wrote it, without the union tags that pydantic puts in."""
    parts = list(place)
    if len(parts) > 1 and parts[0] in _PLACES:
        parts = parts[1:]
    # images.0.url.url: the first `url` is the tag of the form, the second the member.
    if len(parts) > 3 and parts[0] == "images" and parts[2] in _FORMS:
        del parts[2]
    # A member's name is the caller's text, of any length.
    return ".".join(str(part)[:_NAME] for part in parts)


def _what(found: ErrorDetails) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if found["loc"] == ("body",) and kind in _NO_OBJECT:
        return "send a JSON object, with Content-Type: application/json"
    if kind in _PLAIN:
        return _PLAIN[kind].format_map(context)
    return found["msg"].removeprefix("Value error, ").removeprefix("Input ")


_PLAIN: Mapping[str, str] = {
    "missing": "this member is missing",
    "extra_forbidden": "the contract has no such member; mind the spelling",
    "bytes_type": "base64 text is expected",
    "string_pattern_mismatch": "this does not have the form {pattern}",
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
    "too_short": "at least {min_length} is needed",
}
