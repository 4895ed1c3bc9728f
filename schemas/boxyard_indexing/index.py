"""mmdet's model index: its metafiles, entry by entry."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

TASKS = {"Object Detection", "Instance Segmentation"}


@dataclass(frozen=True)
class IndexEntry:
    """A model as the index has it.

    Attributes:
        metafile: relative to the index's folder, such as `configs/ssd/metafile.yml`.
        model: the entry.
        collection: the entry of the collection that the model belongs to.
    """

    metafile: str
    model: dict[str, Any]
    collection: dict[str, Any]

    @property
    def name(self) -> str:
        """As the index spells it, which may differ from its configuration's file."""
        return str(self.model["Name"])

    @property
    def tasks(self) -> set[str]:
        """What it was evaluated on."""
        return {result["Task"] for result in self.model["Results"]}

    def metric(self, name: str) -> float | None:
        """The entry's own result, such as `box AP` in percent."""
        for result in self.model["Results"]:
            if name in (metrics := result.get("Metrics") or {}):
                return float(metrics[name])
        return None


def find_root() -> Path:
    """The index's folder in mmdet's wheel."""
    spec = importlib.util.find_spec("mmdet")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'mmdet'", name="mmdet")
    return Path(spec.origin).parent / ".mim"


@lru_cache
def read_index() -> tuple[IndexEntry, ...]:
    """Every detector and instance segmenter of the index, each name once.

    Raises:
        ValueError: two entries share a name and differ.
    """
    return merge(_read_metafiles(find_root()))


def merge(entries: Iterable[IndexEntry]) -> tuple[IndexEntry, ...]:
    """Makes one of what the index lists twice word for word, as it does one model.

    Raises:
        ValueError: two entries share a name and differ.
    """
    found: dict[str, IndexEntry] = {}
    for entry in entries:
        if found.setdefault(entry.name, entry) != entry:
            raise ValueError(f"The index has two different models called {entry.name}.")
    return tuple(found.values())


def _read_metafiles(root: Path) -> Iterator[IndexEntry]:
    collections: dict[str, Any] = {}
    pages = {path: _load(root / path) for path in _load(root / "model-index.yml")["Import"]}
    for page in pages.values():
        # A name that two pages use is the first one's here, and its own page's below.
        collections = {each["Name"]: each for each in page.get("Collections", ())} | collections
    for path, page in pages.items():
        own = {each["Name"]: each for each in page.get("Collections", ())}
        for model in page["Models"]:
            entry = IndexEntry(path, model, (collections | own)[model["In Collection"]])
            if entry.tasks & TASKS:
                yield entry


def _load(path: Path) -> Any:
    # The C parser, for the pages take Python's six seconds.
    return yaml.load(path.read_text(), yaml.CSafeLoader)


def find_config(entry: IndexEntry) -> str:
    """The entry's configuration below the `configs` folder.

    Twelve entries write `%2B` for the plus sign of their folder; four name another folder or none,
    and their file lies beside their metafile.

    Raises:
        FileNotFoundError: the wheel lacks it.
    """
    root = find_root()
    written = Path(unquote(entry.model["Config"]))
    for path in (written, Path(entry.metafile).with_name(written.name)):
        if (root / path).is_file():
            return path.relative_to("configs").as_posix()
    raise FileNotFoundError(f"{entry.name}: mmdet's wheel lacks {written}")
