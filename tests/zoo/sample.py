"""The few entries that together hold every part that the catalogue's models are made of.

Chosen by rule from the configurations and written down in `sample.json`, so that a run takes the
same ones until somebody chooses anew: `python -m zoo choose`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from boxyard_schemas.catalogue import catalogue
from boxyard_worker.detector.catalogue import find_model
from zoo.excuses import EXCUSES

_FILE: Final = Path(__file__).with_name("sample.json")

_TRAINING: Final = ("loss", "train_cfg", "init_cfg", "batch_augments", "assigner", "sampler")
"""What starts these keys' values is not there when a model answers."""

Parts = frozenset[str]


@dataclass(frozen=True)
class Recipe:
    """What a model's configuration says it is made of.

    Attributes:
        detector: the class of the whole.
        parts: every `type` in it, the detector's included.
        cost: about how slow it is, beside others.
    """

    detector: str
    parts: Parts
    cost: float


@dataclass(frozen=True)
class Sample:
    """Names of entries.

    Attributes:
        entries: those that hold every part.
        classes: detector class → the entry that is also tried at its own size.
        operators: of `mmcv._ext` that some entry of the catalogue calls.
    """

    entries: tuple[str, ...]
    classes: dict[str, str]
    operators: tuple[str, ...]

    def find_missing(self, recipes: Mapping[str, Recipe]) -> Parts:
        """Parts and detector classes that recipes have and the sample's entries have not."""
        held = {name: recipe for name, recipe in recipes.items() if name in self.entries}
        classes = {recipe.detector for recipe in recipes.values()} - self.classes.keys()
        return (all_parts(recipes) - all_parts(held)) | classes


def read_sample() -> Sample:
    """The one that is written down."""
    held = json.loads(_FILE.read_text())
    return Sample(tuple(held["entries"]), held["classes"], tuple(held["operators"]))


def write_sample(sample: Sample) -> None:
    """Writes it down."""
    _FILE.write_text(json.dumps(vars(sample), indent=2) + "\n")


def read_recipes() -> dict[str, Recipe]:
    """Every entry that can answer, by name."""
    from mmengine.config import Config

    names = [name for name, entry in catalogue().items() if entry.config and name not in EXCUSES]
    files = {name: str(find_model(name).config) for name in names}
    read = {
        name: Config.fromfile(path, import_custom_modules=False) for name, path in files.items()
    }
    return {name: _read_recipe(config.model.to_dict()) for name, config in read.items()}


def choose_sample(recipes: Mapping[str, Recipe], operators: tuple[str, ...]) -> Sample:
    """Takes what adds most for its cost until every part is there, then drops what is spare."""
    chosen: list[str] = []
    missing = all_parts(recipes)
    while missing:
        chosen.append(
            max(sorted(recipes), key=lambda n: len(recipes[n].parts & missing) / recipes[n].cost)
        )
        missing -= recipes[chosen[-1]].parts
    for name in list(chosen):
        rest = {other: recipes[other] for other in chosen if other != name}
        if all_parts(rest) == all_parts(recipes):
            chosen.remove(name)
    return Sample(tuple(sorted(chosen)), _find_lightest(recipes), operators)


def all_parts(recipes: Mapping[str, Recipe]) -> Parts:
    """The parts of all of them together."""
    return frozenset[str]().union(*(recipe.parts for recipe in recipes.values()))


def _find_lightest(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    lightest: dict[str, str] = {}
    for name in sorted(recipes, key=lambda name: (recipes[name].cost, name)):
        lightest.setdefault(recipes[name].detector, name)
    return dict(sorted(lightest.items()))


def _read_recipe(model: dict[str, Any]) -> Recipe:
    backbone = model.get("backbone") or {}
    depth = backbone.get("depth")
    if not isinstance(depth, int):
        depth = 80 * backbone.get("deepen_factor", 1.0) * backbone.get("embed_dims", 96) / 96
    cost = depth * (1 + backbone.get("groups", 1) / 32)
    return Recipe(_name(model["type"]), frozenset(_find_types(model)), float(cost))


def _find_types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type"):
            yield _name(node["type"])
        for key, value in node.items():
            if not str(key).startswith(_TRAINING):
                yield from _find_types(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _find_types(value)


def _name(kind: Any) -> str:
    return kind if isinstance(kind, str) else str(kind.__name__)
