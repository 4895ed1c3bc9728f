"""What the log of a start of Redis says about the files that it loads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_TRUNCATED = re.compile(r"Truncating the AOF (\S+) at offset (\d+)")
_LOADED = re.compile(r"DB loaded from \w+ file (\S+):")
_DAMAGE = re.compile(
    r"Bad file format|[Uu]nknown command|wrong number of arguments|[Uu]nknown subcommand"
    r"|Unexpected end of file|Internal error in RDB|Wrong RDB checksum|Short read or OOM"
    r"|RDB format version|Error reading the RDB|BUG REPORT START"
)
_WARNING = re.compile(r"^\d+:\w .{20,30} # (.+)$", re.MULTILINE)


def damaged_file(said: str, order: Sequence[str], sizes: Mapping[str, int]) -> str | None:
    """The file at which a start ended because it cannot be read, if it ended so.

    Args:
        said: the log of the start.
        order: the files that were to be loaded.
        sizes: those of the increments; an empty one is passed over in the log.
    """
    if not _DAMAGE.search(said):
        return None
    loaded = set(_LOADED.findall(said))
    return next((name for name in order if name not in loaded and sizes.get(name, 1)), None)


def first_warning(said: str) -> str:
    """The first line about what is wrong, without the advice to use Redis' own tools."""
    found = (line for line in _WARNING.findall(said) if "WARNING" not in line)
    return next(found, "").partition(": make a backup")[0].rstrip(".")


def truncations(said: str) -> Iterator[tuple[str, int]]:
    """The files whose torn end was dropped, each with its size afterwards."""
    for name, offset in _TRUNCATED.findall(said):
        yield name, int(offset)


def describe_loading(facts: Mapping[str, Any]) -> str:
    """How far a server has loaded its files, from what it says of itself."""
    if not facts:
        return "redis starts; it does not answer yet"
    megabytes = int(facts.get("loading_total_bytes", 0)) / 1e6
    return (
        f"redis loads its file: {facts.get('loading_loaded_perc', 0)} % of {megabytes:.0f} MB, "
        f"about {facts.get('loading_eta_seconds', 0)} s to go"
    )
