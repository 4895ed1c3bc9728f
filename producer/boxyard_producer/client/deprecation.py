"""What the server says of names that go out of use, as Python says such things."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import httpx

_HERE = f"{Path(__file__).parent}/"


def warn_of_old_name(response: httpx.Response, name: str, successor: str) -> None:
    """A `DeprecationWarning` at the caller's line, where the answer has the `Deprecation` header.

    Args:
        response: the server's answer.
        name: of the model, as the caller gave it.
        successor: the name to use instead.
    """
    if "Deprecation" in response.headers:
        message = f"{name} is a deprecated name: use {successor}."
        warnings.warn(message, DeprecationWarning, stacklevel=_first_frame_outside())


def _first_frame_outside() -> int:
    """Which frame, counted from the caller of this as 1, is the first that is not the client's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    return level
