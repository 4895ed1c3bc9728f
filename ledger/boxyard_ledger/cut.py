"""The cut of an append-only file at the place where Redis can no longer read it.

A crash may cut the last command of the last increment; Redis drops that by itself. Damage before
the end makes Redis refuse to start, and the check tool of the package that brings the server reads
no snapshot of its own version.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import redis

from boxyard_schemas.errors import SetupError

from .append_only import FOLDER, free_name, load_order, set_aside, write_manifest
from .embedded import EmbeddedRedis

_LONGEST_LINE = 64
_COMMENT = b"#"
"""Annotations such as `#TS:1700000000`."""


def cut_at_damage(data_dir: Path, name: str) -> str:
    """Cuts an increment where it can no longer be read, and sets those behind it aside.

    The whole file stays beside it, as `….damaged`. One that is missing is taken for an empty one.

    Args:
        data_dir: the server's.
        name: the increment's.

    Returns:
        What was dropped.

    Raises:
        SetupError: the increment can be read to its end.
    """
    path = data_dir / FOLDER / name
    order = load_order(data_dir)
    kept, later = order[: order.index(name) + 1], order[order.index(name) + 1 :]
    if path.exists():
        done = _cut(path, _command_arities())
    else:
        path.touch()
        done = f"{path} was missing: an empty file is in its place."
    if later:
        aside = [
            set_aside(path.with_name(each), "aside").name
            for each in later
            if path.with_name(each).exists()
        ]
        write_manifest(data_dir, kept)
        done += f" What follows it cannot be read without it and is set aside: {', '.join(aside)}."
    return done


def _command_arities() -> dict[bytes, int]:
    """The commands that the server knows, each with its number of words; -n: n or more."""
    with (
        TemporaryDirectory() as folder,
        EmbeddedRedis(Path(folder)) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        return {name.encode(): facts["arity"] for name, facts in client.command().items()}


def _cut(path: Path, arities: Mapping[bytes, int]) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        good = _last_good(file, size, arities)
    if good == size:
        raise SetupError(f"{path} is not damaged: it can be read to its end.")
    damaged = free_name(path, "damaged")
    shutil.copyfile(path, damaged)
    with path.open("r+b") as file:
        file.truncate(good)
    return (
        f"{path} was cut at byte {good}: {size - good} bytes were dropped, and with them what was "
        f"written after that place. The whole file is {damaged.name} beside it."
    )


def _last_good(file: BinaryIO, size: int, arities: Mapping[bytes, int]) -> int:
    """The end of the last command that can be executed and is in no open transaction."""
    good = 0
    open_transaction = False
    for end, words in _commands(file, size):
        if words:
            name = words[0].lower()
            arity = arities.get(name, 0)
            if not (len(words) == arity or 0 < -arity <= len(words)):
                break
            open_transaction = name == b"multi" or (open_transaction and name != b"exec")
        if not open_transaction:
            good = end
    return good


def _commands(file: BinaryIO, size: int) -> Iterator[tuple[int, list[bytes]]]:
    """Where each command ends, and its words, up to the first that is not whole."""
    while (line := file.readline(_LONGEST_LINE)) and line.endswith(b"\r\n"):
        words = list[bytes]()
        if not line.startswith(_COMMENT):
            count = _length(line, b"*")
            while len(words) < count and (word := _bulk(file, size)) is not None:
                words.append(word)
            if not words or len(words) < count:
                return
        yield file.tell(), words


def _bulk(file: BinaryIO, most: int) -> bytes | None:
    size = _length(file.readline(_LONGEST_LINE), b"$")
    text = file.read(size + 2) if 0 <= size < most else b""
    return text[:-2] if len(text) == size + 2 and text.endswith(b"\r\n") else None


def _length(line: bytes, kind: bytes) -> int:
    found = re.fullmatch(re.escape(kind) + rb"(\d{1,10})\r\n", line)
    return int(found[1]) if found else -1
