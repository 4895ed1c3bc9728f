"""The catalogue: every model that mmdet's index knows, and the names that models go by.

The data is `catalogue.json`, which `make catalogue` makes from mmdet's wheel; nothing is read
before somebody asks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from pydantic import Field, TypeAdapter

from .errors import UnknownModel
from .jobs import ModelName
from .words import Response

DEMO_MODEL = "rtmdet-ins_demo"

Task = Literal["object-detection", "instance-segmentation"]

_PREFIXES = ("mmd-3x-", "mmdet-3x-")
_LONGEST = 200
"""Characters of a name that is compared with others, or said again: no model has a longer one."""
_ALIKE = 0.6
"""Least likeness (`difflib` ratio) of a name to the beginning of one that is suggested."""


class Paper(Response):
    """Where a model is described."""

    title: str
    url: str


class CatalogueEntry(Response):
    """What is known of a model before anybody serves it."""

    name: ModelName = Field(description="As mmdet 3's index spells it.")
    aliases: tuple[str, ...] = Field(
        default=(), description="Other current spellings, without prefixes."
    )
    legacy_names: tuple[str, ...] = Field(default=(), description="mmdet-2 names: deprecated.")
    task: Task
    family: str = Field(description="The index's collection.", examples=["Sparse R-CNN"])
    config: str = Field(
        description='Path below mmdet\'s `configs` folder; "" for the packaged demo model.'
    )
    weights_url: str = Field(default="", description='Where the weights are published, or "".')
    weights_digest: str = Field(
        default="",
        description='Start of the file\'s sha256, as its name says: 8 hex digits, or "".',
    )
    box_ap: float | None = Field(description="In percent, as published, on its own data set.")
    mask_ap: float | None = Field(description="In percent, as published, on its own data set.")
    input_size: tuple[int, int] | None = Field(
        description="Width and height in pixels that its test pipeline aims at, the longer first "
        "where pictures keep their ratio; null where they are taken as they are."
    )
    licence: str = Field(
        description='Under which it is published, as an SPDX identifier; "" if not known.'
    )
    training_data: str
    paper: Paper | None
    extra: str | None = Field(
        default=None, description="Boxyard's extra that its worker needs beside `detect`."
    )
    text_prompt: bool = Field(default=False, description="Its classes are words of the request.")


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, CatalogueEntry]:
    """Every model by name, sorted; read once, at the first call."""
    text = files(__package__).joinpath("catalogue.json").read_bytes()
    entries = TypeAdapter(tuple[CatalogueEntry, ...]).validate_json(text)
    return MappingProxyType({entry.name: entry for entry in entries})


def aliases_of(name: str) -> tuple[str, ...]:
    """Every other current spelling of a model; legacy names are apart."""
    entry = catalogue().get(name)
    return (*(entry.aliases if entry else ()), *(prefix + name for prefix in _PREFIXES))


def takes_prompt(name: str) -> bool:
    """Whether a model may take a text prompt; of one beyond the catalogue its worker knows."""
    entry = catalogue().get(name)
    return entry is None or entry.text_prompt


def is_legacy(name: str) -> bool:
    """Whether a name, with any prefix, is mmdet 2's and no longer in use."""
    found = _spellings().get(bare := _bare(name))
    return found is not None and bare in catalogue()[found].legacy_names


def resolve_model(name: str, served: Iterable[str] = ()) -> str:
    """The mmdet-3 name behind any spelling.

    Args:
        name: as a caller wrote it.
        served: names of models that workers serve, beside the catalogue's.

    Raises:
        UnknownModel: with near names as `suggestions`.
    """
    bare = _bare(name)
    own = frozenset(served)
    if found := _spellings().get(bare):
        return found
    if bare in own:
        return bare
    near = _near(bare, own)
    hint = f" Did you mean {' or '.join(near)}?" if near else " `boxyard models` lists them."
    raise UnknownModel(f"No model is called {name[:_LONGEST]!r}.{hint}", suggestions=near)


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


@lru_cache(maxsize=1)
def _spellings() -> Mapping[str, str]:
    """Any spelling without its prefix → name."""
    return {
        spelling: entry.name
        for entry in catalogue().values()
        for spelling in (*entry.legacy_names, *entry.aliases, entry.name)
    }


def _near(bare: str, served: Iterable[str]) -> list[str]:
    """The three models with the nearest spellings that begin like the name.

    Names begin with the family; a part that is shared elsewhere, such as `ope`, says nothing.
    Comparing letter by letter takes up to a quarter of a second for all spellings, so only those
    that share half of the name's trigrams are compared.
    """
    if len(bare) > _LONGEST:
        return []
    wanted = _trigrams(bare)
    known = (*_trigrams_of_all(), *((name, name, _trigrams(name)) for name in served))
    shared = ((len(wanted & theirs), spelling, name) for spelling, name, theirs in known)
    close = sorted((each for each in shared if 2 * each[0] >= max(len(wanted), 1)), reverse=True)
    alike = [each for each in close[:50] if _likeness(bare, each[1][: len(bare) + 1]) >= _ALIKE]
    ranked = sorted(alike, key=lambda each: _likeness(bare, each[1]), reverse=True)
    return list(dict.fromkeys(name for _, _, name in ranked))[:3]


@lru_cache(maxsize=1)
def _trigrams_of_all() -> tuple[tuple[str, str, frozenset[str]], ...]:
    return tuple((spelling, name, _trigrams(spelling)) for spelling, name in _spellings().items())


def _trigrams(text: str) -> frozenset[str]:
    folded = text.casefold()
    return frozenset(folded[start : start + 3] for start in range(len(folded) - 2))


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.casefold(), other.casefold(), autojunk=False).ratio()
