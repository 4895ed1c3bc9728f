"""What a shell needs to work on a stack by hand, and what a later start takes from that shell."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .credentials import Credentials, read_environment

_STACK = "BOXYARD_STACK"
"""The data directory of the stack whose `env` a shell has read."""
_REDIS = "BOXYARD_REDIS_URL"
_PLACES = (_REDIS, "BOXYARD_BLOB_URL")


def keep_environment(data: Path, shared: Mapping[str, str], credentials: Credentials) -> None:
    """Write `env` into the data directory, for its owner alone: `. .boxyard/env` sets it all.

    With it operators' commands and further workers find the stack, as callers do.

    Args:
        data: the directory.
        shared: what every process of the stack reads.
        credentials: the stack's.
    """
    others = {_STACK: str(data.resolve()), **{name: shared[name] for name in _PLACES}}
    credentials.write_environment(data, others)


def operators_environment() -> tuple[dict[str, str], Path | None]:
    """This process's environment without what a stack's own `env` has put there.

    A shell that has read the `env` of a stack names that stack's Redis and blobs: a stack that is
    started from it has its own all the same. What the operator set stays.

    Returns:
        The environment, and the data directory of the stack whose places were left out.
    """
    environment = dict(os.environ)
    named = environment.pop(_STACK, None)
    if not named:
        return environment, None
    data = Path(named)
    own = [place for place in _PLACES if _is_own(data, environment.get(place, ""))]
    for place in own:
        del environment[place]
    return environment, data if own else None


def _is_own(data: Path, url: str) -> bool:
    """Whether a URL leads to a stack's embedded Redis or to the blobs in its data directory."""
    if url == blobs_of(data):
        return True
    try:
        password = unquote(urlsplit(url).password or "")
    except ValueError:
        return False
    if not password:
        return False
    try:
        configured = (data / "redis" / "redis.conf").read_text(errors="replace")
    except OSError:
        configured = ""
    return password in {word.strip("\"'") for word in configured.split()} or (
        password == kept_password(data)
    )


def kept_password(data: Path) -> str | None:
    """The password of a stack's embedded Redis, from the `env` of the last start."""
    url = read_environment(data).get(_REDIS, "")
    found = re.fullmatch(r"redis://:([0-9a-f]{48})@127\.0\.0\.1:\d+/0", url)
    return found[1] if found else None


def blobs_of(data: Path) -> str:
    """The URL of a stack's own blob store."""
    return (data.resolve() / "blobs").as_uri()
