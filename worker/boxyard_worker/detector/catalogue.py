"""Model names: mmdet's own model index, read from its wheel, and the packaged demo model.

Nothing here imports mmdet or torch.
"""

from __future__ import annotations

import difflib
import importlib.resources
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from boxyard_worker.detector.errors import DetectorLoadError

_NAME = re.compile(r"^\s*(?:- )?Name: *['\"]?([^\s'\"]+)", re.MULTILINE)


@dataclass(frozen=True)
class CatalogueEntry:
    """What is known of a model before it is loaded.

    Attributes:
        name: mmdet-3 name.
        config: its mmengine configuration file.
        weights: the packaged weights, or None where the operator brings them.
        weights_url: where mmdet publishes its weights, or "".
    """

    name: str
    config: Path
    weights: Path | None = None
    weights_url: str = ""


def find_model(name: str) -> CatalogueEntry:
    """Looks a model up by its mmdet-3 name.

    Raises:
        DetectorLoadError: nobody knows the name, or its configuration is not in mmdet's wheel.
    """
    entry = _find_packaged(name) or _find_indexed(name)
    if not entry.config.is_file():
        raise DetectorLoadError(
            f"mmdet's index names {entry.config.name} for {name}, but its wheel lacks that file.",
            "Name a configuration file with --config.",
        )
    return entry


def _find_packaged(name: str) -> CatalogueEntry | None:
    demo = Path(str(importlib.resources.files("boxyard_worker"))) / "demo"
    config, weights = demo / f"{name}.py", demo / f"{name}.safetensors"
    if not config.is_file():
        return None
    return CatalogueEntry(name, config, weights if weights.is_file() else None)


def _find_indexed(name: str) -> CatalogueEntry:
    root = _index_root()
    seen: list[str] = []
    # 110 metafiles take seconds to parse, and a moment to search.
    for path in yaml.safe_load((root / "model-index.yml").read_text())["Import"]:
        text = (root / path).read_text()
        names = _NAME.findall(text)
        if name in names:
            return _read_entry(root, name, yaml.safe_load(text))
        seen += names
    close = difflib.get_close_matches(name, seen, n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else "Use a name of mmdet's model zoo."
    raise DetectorLoadError(f"There is no model named {name!r}.", hint)


def _index_root() -> Path:
    spec = importlib.util.find_spec("mmdet")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'mmdet'", name="mmdet")
    return Path(spec.origin).parent / ".mim"


def _read_entry(root: Path, name: str, metafile: Any) -> CatalogueEntry:
    models = metafile["Models"] if isinstance(metafile, dict) else metafile
    found = next(model for model in models if model["Name"] == name)
    return CatalogueEntry(name, root / found["Config"], None, found.get("Weights", ""))
