"""The files that an embedded Redis keeps its data in, and the manifest that names them.

`appendonlydir/` holds a base (a snapshot), one or more increments (the commands since, as RESP
arrays of bulk strings), and a manifest that names them in the order in which they are loaded.
Redis takes a folder without a manifest for a new one: it begins with an empty data set beside the
files, and may append to one of them. So the files are checked before each start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from boxyard_schemas.errors import SetupError

FOLDER = "appendonlydir"
BACKUP = 'Put this folder back, from a backup ("Backup and restore" in docs/operations.md).'
"""What helps in every case."""
BEGIN_ANEW = (
    "Without one, `boxyard up --new-ledger` begins with an empty ledger and sets aside what is "
    "left: jobs, tenants and keys of before are lost."
)
_MANIFEST = "appendonly.aof.manifest"
_DATA_FILE = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(?:rdb|aof)")


class DamagedIncrement(SetupError):
    """An increment that Redis cannot read; `boxyard up --cut-damaged-file` can cut it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"The append-only file {path} {problem}. {BACKUP} Without one, "
            "`boxyard up --cut-damaged-file` starts without what cannot be read, once: what was "
            "accepted from that place on is lost."
        )
        self.name = path.name


class _DataFile(NamedTuple):
    name: str
    sequence: int
    is_base: bool
    size: int
    written: int
    """Time of the last write, in ns."""


def increments(data_dir: Path) -> dict[str, int]:
    """Bytes of each increment, by name, the oldest first."""
    return {each.name: each.size for each in _data_files(data_dir) if not each.is_base}


def base_bytes(data_dir: Path) -> int:
    """Bytes of the snapshots that the increments follow."""
    return sum(each.size for each in _data_files(data_dir) if each.is_base)


def load_order(data_dir: Path) -> list[str]:
    """The names of the files that Redis loads, the base first; none without a manifest."""
    return _read_manifest(data_dir) or []


def named_sizes(data_dir: Path, names: Iterable[str]) -> dict[str, int]:
    """Bytes of those of the files that are there."""
    sizes = dict[str, int]()
    for name in names:
        with suppress(FileNotFoundError, NotADirectoryError):
            sizes[name] = (data_dir / FOLDER / name).stat().st_size
    return sizes


def check_files(data_dir: Path, *, expected: bool) -> str:
    """Checks that Redis will load all that it wrote; restores a manifest that is gone or damaged.

    Args:
        data_dir: the server's.
        expected: whether data were kept here before, so that an empty folder is an error.

    Returns:
        What was restored; empty where all was in place.

    Raises:
        SetupError: files are missing, or their names do not say which belong together.
    """
    files, named = _data_files(data_dir), _read_manifest(data_dir)
    folder = data_dir / FOLDER
    restored = ""
    if named is None or _omits_newest(named, files):
        if not (folder / _MANIFEST).exists() and not any(map(_may_have_data, files)):
            if expected:
                raise SetupError(f"{folder} holds no data of Redis. {BACKUP} {BEGIN_ANEW}")
            return ""
        named = _order(folder, files)
        if (folder / _MANIFEST).exists():
            set_aside(folder / _MANIFEST, "damaged")
        write_manifest(data_dir, named)
        restored = f"{folder / _MANIFEST} was missing or damaged: it names {', '.join(named)} again"
    _check_presence(folder, named, {each.name: each.size for each in files})
    return restored


def write_manifest(data_dir: Path, names: Iterable[str]) -> None:
    """Has Redis load these files, in this order."""
    lines = []
    for name in names:
        _, _, sequence, kind, _ = name.split(".")  # as in `_DATA_FILE`
        lines.append(f"file {name} seq {sequence} type {kind[0]}\n")
    manifest = data_dir / FOLDER / _MANIFEST
    fresh = manifest.with_suffix(".new")
    fresh.write_text("".join(lines))
    fresh.replace(manifest)


def set_aside(path: Path, word: str) -> Path:
    """Renames a file or folder to `NAME.WORD`, or with a number behind it; returns the new path."""
    free = free_name(path, word)
    path.replace(free)
    return free


def free_name(path: Path, word: str) -> Path:
    """`NAME.WORD` beside a path, with a number behind it where that is taken."""
    free, number = path.with_name(f"{path.name}.{word}"), 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{word}-{number}")
    return free


def _data_files(data_dir: Path) -> list[_DataFile]:
    """What Redis wrote into its folder, the oldest of each kind first."""
    found = []
    for path in (data_dir / FOLDER).glob("appendonly.aof.*"):
        if match := _DATA_FILE.fullmatch(path.name):
            facts = path.stat()
            kind = match[2] == "base"
            found.append(
                _DataFile(path.name, int(match[1]), kind, facts.st_size, facts.st_mtime_ns)
            )
    return sorted(found, key=lambda each: each.sequence)


def _read_manifest(data_dir: Path) -> list[str] | None:
    """The files that it names, in order; none where it is gone or damaged."""
    try:
        text = (data_dir / FOLDER / _MANIFEST).read_bytes().decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    bases, later = list[str](), list[str]()
    for line in text.splitlines():
        words = line.split()
        facts = dict(zip(words[::2], words[1::2], strict=False))
        name, kind = facts.get("file", ""), facts.get("type")
        if not _DATA_FILE.fullmatch(name) or "seq" not in facts or kind not in ("b", "h", "i"):
            return None
        if kind != "h":  # history: what a rewrite replaced, on its way out
            (bases if kind == "b" else later).append(name)
    return [*bases, *later] if len(bases) == 1 else None


def _omits_newest(named: Sequence[str], files: Sequence[_DataFile]) -> bool:
    """Whether an increment that has commands follows all those that the manifest names."""
    later = [each for each in files if not each.is_base]
    newest = max((each.sequence for each in later if each.name in named), default=0)
    return any(each.size and each.sequence > newest for each in later)


def _may_have_data(file: _DataFile) -> bool:
    """The first base is of an empty data set: a first start that was killed leaves it alone."""
    return file.sequence > 1 if file.is_base else file.size > 0


def _order(folder: Path, files: Sequence[_DataFile]) -> list[str]:
    """The files in the order in which Redis loads them.

    Raises:
        SetupError: their names allow more than one reading: a file is missing, or what a rewrite
            replaced is among them.
    """
    bases = [each for each in files if each.is_base]
    if len(bases) == 1:
        (base,) = bases
        # The first increment of a base has its number, or a higher one where rewrites failed.
        later = [each for each in files if not each.is_base and each.sequence >= base.sequence]
        numbers = [each.sequence for each in later]
        whole = numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False
        first = base.sequence > 1 or numbers[:1] == [1]
        # A rewrite writes its base after the last command of the increments that it replaces.
        replaced = any(each.written < base.written for each in later[:-1])
        if whole and first and not replaced:
            return [base.name, *(each.name for each in later)]
    raise SetupError(
        f"The manifest {folder / _MANIFEST} is missing or damaged, and the names of the data files "
        f"({', '.join(each.name for each in files) or 'none'}) do not say which of them belong "
        f"together. {BACKUP} {BEGIN_ANEW}"
    )


def _check_presence(folder: Path, named: Sequence[str], sizes: Mapping[str, int]) -> None:
    base, *later = named
    if not sizes.get(base):  # even the snapshot of an empty data set has a header
        problem = "is empty" if base in sizes else "is missing"
        raise SetupError(
            f"The snapshot {folder / base} {problem}: nothing of what it held is anywhere else. "
            f"{BACKUP} {BEGIN_ANEW}"
        )
    for name in later:
        if name not in sizes:
            raise DamagedIncrement(folder / name, "is missing")
