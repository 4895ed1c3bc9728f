"""The state machine: one Lua file a transition, each run whole or not at all."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files


@cache
def read_script(name: str) -> tuple[str, str]:
    """A script's SHA-1 and its text, with `common.lua` put after its first line (its flags)."""
    folder = files(__name__)
    flags, body = (folder / f"{name}.lua").read_text().split("\n", 1)
    text = "\n".join((flags, (folder / "common.lua").read_text(), body))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text
