"""The catalogue, put together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boxyard_schemas
from boxyard_schemas.catalogue import CatalogueEntry, Paper, Task

from .configs import read_config
from .index import IndexEntry, find_config, find_root, read_index
from .legacy import read_legacy_names
from .repairs import ALIASES, CONVERTED, DEMO, LICENCE, PAPERS, TASKS, WEIGHTS

FILE = Path(boxyard_schemas.__file__).with_name("catalogue.json")

_DIGEST = re.compile(r"-([0-9a-f]{8})\.pth$")


def generate() -> str:
    """The catalogue's text, an entry a line, the same on every run."""
    names = {entry.name for entry in read_index()}
    entries = [CatalogueEntry(**DEMO), *(assemble(entry, names) for entry in read_index())]
    lines = (_line(entry) for entry in sorted(entries, key=lambda entry: entry.name))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _line(entry: CatalogueEntry) -> str:
    return json.dumps(entry.model_dump(exclude_defaults=True), ensure_ascii=False)


def assemble(entry: IndexEntry, names: set[str]) -> CatalogueEntry:
    """One entry of the catalogue.

    Args:
        entry: the index's.
        names: all of the index's; an alias that is one of them is left to its owner.
    """
    config = find_config(entry)
    facts = read_config(find_root() / "configs" / config)
    url = WEIGHTS.get(entry.name) or entry.model.get("Weights") or ""
    digest = _DIGEST.search(url)
    task = _task(entry)
    return CatalogueEntry(
        name=entry.name,
        aliases=_aliases(entry, config, names),
        legacy_names=read_legacy_names().get(entry.name, ()),
        task=task,
        family=entry.collection["Name"],
        config=config,
        weights_url=url,
        weights_digest=digest[1] if digest else "",
        box_ap=entry.metric("box AP"),
        mask_ap=entry.metric("mask AP") if task == "instance-segmentation" else None,
        input_size=facts.input_size,
        licence=next((known for part, known in CONVERTED.items() if part in url), LICENCE),
        training_data=_training_data(entry),
        paper=_paper(entry),
        extra=facts.extra,
        text_prompt=facts.text_prompt,
    )


def _task(entry: IndexEntry) -> Task:
    masks = "Instance Segmentation" in entry.tasks
    return TASKS.get(entry.name, "instance-segmentation" if masks else "object-detection")


def _aliases(entry: IndexEntry, config: str, names: set[str]) -> tuple[str, ...]:
    spellings = {*entry.model.get("Alias", ()), Path(config).stem, *ALIASES.get(entry.name, ())}
    return tuple(sorted(spellings - names))


def _training_data(entry: IndexEntry) -> str:
    """The entry's own word; else what it was evaluated on, where its collection's is another."""
    own = (entry.model.get("Metadata") or {}).get("Training Data")
    evaluated = entry.model["Results"][0]["Dataset"]
    if not own and evaluated == "COCO":
        own = entry.collection["Metadata"]["Training Data"]
    return str(own or evaluated)


def _paper(entry: IndexEntry) -> Paper | None:
    found: Any = entry.model.get("Paper") or entry.collection.get("Paper")
    if isinstance(found, dict):
        return Paper(title=found["Title"].strip(), url=found["URL"])
    title, number = PAPERS[entry.collection["Name"]]
    return Paper(title=title, url=f"https://arxiv.org/abs/{number}")
