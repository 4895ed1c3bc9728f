"""Which images the arguments of `boxyard submit` mean: files, folders, patterns and URLs."""

from __future__ import annotations

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from boxyard_schemas.errors import InvalidRequest

from ..client.files import shorten
from ..client.images import place
from ..client.unusable import Unusable
from .terminal import complain, note

SUFFIXES = frozenset(
    {".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""Of the files that are taken from a folder: what workers can read."""

_COMPLAINTS = 20


def choose(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The images that can be submitted, in order, and whether those are all.

    A folder stands for the images in it and below it, a quoted pattern for the files that it
    matches. What cannot be used is printed.

    Raises:
        InvalidRequest: a folder or a pattern has no images.
        OSError: a folder cannot be read.
    """
    names = [name for argument in arguments for name in _expand(argument)]
    unusable = Unusable()
    for number, name in enumerate(names):
        with unusable.note(number):
            place(name)
    complain_of(unusable.reasons.values())
    usable = [name for number, name in enumerate(names) if number not in unusable.reasons]
    return usable, not unusable.reasons


def complain_of(reasons: Iterable[str]) -> None:
    """A line for each image that was left out, up to a bound."""
    found = list(reasons)
    for reason in found[:_COMPLAINTS]:
        complain(reason)
    if len(found) > _COMPLAINTS:
        complain(f"{len(found) - _COMPLAINTS} more images cannot be used")


def _expand(argument: str) -> Iterator[str]:
    if os.path.isdir(argument):
        if not (found := _images_in(argument)):
            suffixes = ", ".join(sorted(SUFFIXES))
            raise InvalidRequest(f"{argument}: no images in it ({suffixes})")
        yield from found
    elif _is_pattern(argument):
        matched = sorted(glob.glob(argument, recursive=True))
        if not matched:
            raise InvalidRequest(f"{shorten(argument)}: no file matches this pattern")
        images = [_images_in(name) if os.path.isdir(name) else [name] for name in matched]
        # `**` matches a folder and what is in it.
        yield from dict.fromkeys(itertools.chain.from_iterable(images))
    else:
        yield argument


def _is_pattern(argument: str) -> bool:
    is_text = "://" in argument or argument.startswith("data:")
    return glob.has_magic(argument) and not is_text and not os.path.lexists(argument)


def _images_in(folder: str) -> list[str]:
    """The images in a folder and below it, sorted; hidden ones and linked folders are left out."""
    found: list[str] = []
    others: Counter[str] = Counter()
    for place_, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for file in files:
            suffix = Path(file).suffix.lower()
            if suffix in SUFFIXES and not file.startswith("."):
                found.append(os.path.join(place_, file))
            else:
                others[suffix or "without a suffix"] += 1
    left_out = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
    if found:
        note(f"{folder}: {len(found)} images" + (f"; left out: {left_out}" if left_out else ""))
    return sorted(found)


def _refuse(error: OSError) -> NoReturn:
    raise error
