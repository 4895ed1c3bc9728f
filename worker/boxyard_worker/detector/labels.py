"""What a model calls the things that it tells apart."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any, Final

from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.file_kinds import EMPTY, TEXT, refuse_foreign

# The first that a model has says it; a cascade's heads agree.
_HEADS = "roi_head.bbox_head", "bbox_head", "mask_head", "panoptic_head"

_CONTROL: Final = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories of control characters, half surrogates and line separators."""
_INVISIBLE: Final = {"Cf", "Zs", "Cn"}
_FOREIGN: Final = "no text"
"""The key under which a weights file describes a class name that is no text."""
_YAML_ITEM: Final = re.compile(r"- +|\d+: +")
_MOST_CHARACTERS: Final = 1000
"""Of one name: a longer one is a file or a list that was taken for a name."""
_BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads a file of label names, one a line, in label order; empty last lines count nothing.

    Raises:
        DetectorLoadError: it cannot be read, holds none, or a line is not a name of its own.
    """
    try:
        refuse_foreign(path, "The class names", EMPTY, TEXT)
        data = path.read_bytes()
    except OSError as error:
        raise DetectorLoadError(
            f"The class names {path} cannot be read: {error}.", "Name a UTF-8 text file."
        ) from error
    text = _decode(data, path)
    names = [line.strip() for line in re.split("\r\n|\n|\r", text.rstrip())]
    if all(map(_YAML_ITEM.match, names[bool(re.fullmatch(r"\w+:", names[0])) :] or [""])):
        raise DetectorLoadError(
            f"The class names {path.name} are a YAML list.",
            f"Write each name alone on its line: {_YAML_ITEM.sub('', names[-1])!r:.100} instead of"
            f" {names[-1]!r:.100}.",
        )
    for number, fault in _find_faults(names):
        raise DetectorLoadError(
            f"Line {number} of the class names {path.name} {fault}.", "Give one name a line."
        )
    return tuple(names)


def _decode(data: bytes, path: Path) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "")
    if not encoding and 3 * data.count(0) >= len(data) > 0:
        raise DetectorLoadError(
            f"The class names {path.name} are in UTF-16 or UTF-32 without a byte order mark.",
            "Save the file as UTF-8.",
        )
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DetectorLoadError(
            f"The class names {path.name} cannot be read: line {line} is not in"
            f" {error.encoding.upper()}; it holds the byte 0x{data[error.start]:02X}.",
            "If it is in another encoding, such as Latin-1 or Windows-1252, save it as UTF-8.",
        ) from error


def check_names(names: object, source: str, *, repeats: bool = False) -> tuple[str, ...]:
    """Refuses class names that are not a list of texts, each one different and readable.

    Args:
        names: what a configuration or a checkpoint has as class names.
        source: where they were found, such as `The configuration shelf.py`.
        repeats: whether names may repeat, as some that are published do.

    Raises:
        DetectorLoadError: says which name is at fault.
    """
    if not isinstance(names, list | tuple):
        raise _unusable(source, f"are a {_describe(names)[0]}, not a list of texts")
    for number, fault in _find_faults(names, repeats=repeats):
        raise _unusable(source, f"cannot be used: name {number} of {len(names)} {fault}")
    return tuple(map(str.__str__, names))  # plain ones of numpy's and of enumerations


def check_labels(model: Any, labels: tuple[str, ...]) -> None:
    """Refuses label names that are more or fewer than the model's labels.

    Raises:
        DetectorLoadError: says both numbers.
    """
    wanted = _count_labels(model)
    if wanted and len(labels) not in wanted:
        raise DetectorLoadError(
            f"The model tells {wanted[0]} classes apart, and {len(labels)} class names are given.",
            "Give as many names as the configuration's `num_classes`, one a line, by --classes.",
        )


def _find_faults(names: Iterable[object], *, repeats: bool = False) -> Iterable[tuple[int, str]]:
    """Number, from 1 on, and fault of each name that cannot be one."""
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if not isinstance(name, str):
            kind, value = _describe(name)
            yield number, f"is not text but the {kind}{value}"
            continue
        kinds = set(map(unicodedata.category, name))
        if kinds & _CONTROL or "\ufeff" in name:
            yield number, f"holds a control character: {name[:80]!a}"
        elif kinds <= _INVISIBLE:
            yield number, "is empty"
        elif len(name) > _MOST_CHARACTERS:
            yield number, f"has {len(name)} characters, more than the {_MOST_CHARACTERS} allowed"
        elif hidden := [each for each in (name.strip()[0], name.strip()[-1]) if _is_hidden(each)]:
            yield number, f"begins or ends with the invisible character U+{ord(hidden[0]):04X}"
        elif (same := _visible(name)) in seen and not repeats:
            yield number, f"repeats {name!r}"
        else:
            seen.add(same)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) == "Cf"


def _visible(name: str) -> str:
    """What is seen of a name: names that differ in nothing else are the same."""
    shown = "".join(each for each in name.strip() if not _is_hidden(each))
    return unicodedata.normalize("NFC", shown)


def describe_foreign(found: object) -> dict[str, str]:
    """Represents in JSON what is no class name, so that `check_names` refuses it by its type."""
    return {_FOREIGN: type(found).__name__}


def _describe(found: object) -> tuple[str, str]:
    """The type of what is no text, and its beginning if that is known."""
    if isinstance(found, dict) and list(found) == [_FOREIGN]:
        return str(found[_FOREIGN])[:80], ""
    return type(found).__name__, f" {str(found)[:80]}"


def _unusable(source: str, fault: str) -> DetectorLoadError:
    return DetectorLoadError(
        f"{source} has class names that {fault}.",
        "Give one text for each label, in label order, as in classes=('can', 'carton'); or put"
        " the names in a text file, one a line, and pass it by --classes FILE.",
    )


def _count_labels(model: Any) -> tuple[int, ...]:
    """How many labels the model's head knows; empty where it does not say."""
    if hasattr(model, "language_model"):
        return ()
    for path in _HEADS:
        head = reduce(lambda part, name: getattr(part, name, None), path.split("."), model)
        if head is not None:
            head = head[-1] if hasattr(head, "__getitem__") else head
            # A panoptic head's labels go on with those of what cannot be counted.
            counts = [getattr(head, name, None) for name in ("num_things_classes", "num_classes")]
            return tuple(int(count) for count in counts if count is not None)
    return ()
