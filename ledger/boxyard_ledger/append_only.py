"""Redis' append-only files: their sizes, and the cut of one that is damaged in its middle.

`appendonlydir/` holds a base (a snapshot) and an increment (the commands since, as RESP arrays of
bulk strings). A crash may cut the increment's last command; Redis drops that by itself. Damage
before the end makes Redis refuse to start, and the check tool of the package that brings the
server reads no snapshot of its own version.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from boxyard_schemas.errors import SetupError

_FOLDER = "appendonlydir"
_LONGEST_LINE = 64
_COMMENT = b"#"
"""Annotations such as `#TS:1700000000`."""


def increments(data_dir: Path) -> dict[str, int]:
    """Bytes of each increment, by name, the oldest first."""
    found = (data_dir / _FOLDER).glob("*.incr.aof")
    return {path.name: path.stat().st_size for path in sorted(found, key=_number)}


def base_bytes(data_dir: Path) -> int:
    """Bytes of the snapshots that the increments follow."""
    return sum(path.stat().st_size for path in (data_dir / _FOLDER).glob("*.base.*"))


def cut_at_damage(data_dir: Path) -> str:
    """Cuts the newest increment where it can no longer be read; says what was dropped.

    The whole file stays beside it, as `….damaged`.

    Raises:
        SetupError: there is no increment, or it can be read to its end.
    """
    names = list(increments(data_dir))
    if not names:
        raise SetupError(f"{data_dir / _FOLDER} holds no increment that could be cut.")
    path = data_dir / _FOLDER / names[-1]
    size = path.stat().st_size
    with path.open("rb") as file:
        good = _last_good(file)
    if good == size:
        raise SetupError(f"{path} is not damaged: it can be read to its end.")
    damaged = path.with_name(f"{path.name}.damaged")
    shutil.copyfile(path, damaged)
    with path.open("r+b") as file:
        file.truncate(good)
    return (
        f"{path} was cut at byte {good}: {size - good} bytes were dropped, and with them what was "
        f"written after that place. The whole file is {damaged.name} beside it."
    )


def _last_good(file: BinaryIO) -> int:
    """The end of the last command that is whole and in no open transaction."""
    good = 0
    open_transaction = False
    for end, name in _commands(file):
        if name == b"MULTI":
            open_transaction = True
        elif name == b"EXEC":
            open_transaction = False
        if not open_transaction:
            good = end
    return good


def _commands(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Where each command ends, and its name, up to the first that is not whole."""
    while (line := file.readline(_LONGEST_LINE)) and line.endswith(b"\r\n"):
        if line.startswith(_COMMENT):
            yield file.tell(), b""
            continue
        count = _length(line, b"*")
        words = [_bulk(file) for _ in range(count)]
        if not words or None in words:
            return
        yield file.tell(), (words[0] or b"").upper()


def _bulk(file: BinaryIO) -> bytes | None:
    size = _length(file.readline(_LONGEST_LINE), b"$")
    text = file.read(size + 2) if size >= 0 else b""
    return text[:-2] if len(text) == size + 2 and text.endswith(b"\r\n") else None


def _length(line: bytes, kind: bytes) -> int:
    found = re.fullmatch(re.escape(kind) + rb"(\d{1,10})\r\n", line)
    return int(found[1]) if found else -1


def _number(path: Path) -> int:
    found = re.search(r"\.(\d+)\.incr\.aof$", path.name)
    return int(found[1]) if found else 0
