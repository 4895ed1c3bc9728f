"""How an answer says that the caller used a name that is going out of use (RFC 9745)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import Response

from boxyard_schemas import is_legacy

_SINCE = datetime(2023, 4, 6, tzinfo=UTC)
"""mmdet 3.0 came out then, and renamed its models."""

HEADERS: dict[str, Any] = {
    "Deprecation": {
        "description": "There when the model was given by an mmdet-2 name: since when it is "
        "deprecated, as `@` and seconds since 1970.",
        "schema": {"type": "string"},
    },
    "Link": {
        "description": 'There with `Deprecation`: `rel="successor-version"` leads to the name to '
        "use.",
        "schema": {"type": "string"},
    },
}
"""For OpenAPI."""


def announce(response: Response, name: str, successor: str) -> None:
    """Adds the headers where a model's name is a legacy one.

    Args:
        response: the answer, before it is sent.
        name: as the caller wrote it.
        successor: path of what to use instead.
    """
    if is_legacy(name):
        response.headers["Deprecation"] = f"@{_SINCE.timestamp():.0f}"
        response.headers["Link"] = f'<{successor}>; rel="successor-version"'
