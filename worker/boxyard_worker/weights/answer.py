"""What a server says of the file that it was asked for."""

from __future__ import annotations

import re

import httpx


class Refused(Exception):
    """This address does not give the file."""


class Interrupted(Exception):
    """It did not all come this time."""


def check_status(response: httpx.Response) -> None:
    """Lets only a file pass.

    Raises:
        Refused: this is none, and will not be one later.
        Interrupted: it may be one later.
    """
    status = response.status_code
    if status in {408, 429} or status >= 500:
        raise Interrupted(f"it answers {status}")
    if status not in {200, 206}:
        raise Refused(f"it answers {status} {response.reason_phrase}".rstrip())
    if response.headers.get("content-type", "").startswith("text/html"):
        raise Refused("it answers with a web page and not with a file")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Refused("it packs the file though it was asked not to")


def find_offset(response: httpx.Response) -> int | None:
    """Where in the file a partial answer begins, in bytes."""
    found = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return int(found[1]) if found else None


def find_total(response: httpx.Response) -> int | None:
    """Bytes of the whole file, where the server says it."""
    if response.status_code == 200:
        length = response.headers.get("content-length", "")
        return int(length) if length.isdecimal() else None
    found = re.search(r"/(\d+)$", response.headers.get("content-range", ""))
    return int(found[1]) if found else None
