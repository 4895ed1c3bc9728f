"""What a model's resolved configuration says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .repairs import EXTRAS


@dataclass(frozen=True)
class ConfigFacts:
    """Attributes:
    input_size: width and height in pixels that the test pipeline aims at, if it resizes; the
        longer first where the picture keeps its ratio, for then it may lie or stand.
    extra: Boxyard's extra that the model needs.
    text_prompt: its classes are words of the request.
    """

    input_size: tuple[int, int] | None
    extra: str | None
    text_prompt: bool


def read_config(path: Path) -> ConfigFacts:
    """Resolves a configuration; imports nothing that it asks for."""
    config = Config.fromfile(str(path), import_custom_modules=False).to_dict()
    return ConfigFacts(
        input_size=_input_size(config["test_dataloader"]["dataset"]["pipeline"]),
        extra=next((EXTRAS[part] for part in config["model"] if part in EXTRAS), None),
        text_prompt="language_model" in config["model"],
    )


def _input_size(pipeline: list[dict[str, Any]]) -> tuple[int, int] | None:
    for step in _steps(pipeline):
        if "scale" in step:
            width, height = map(int, step["scale"])
            kept = step["keep_ratio"]
            return (max(width, height), min(width, height)) if kept else (width, height)
    return None


def _steps(pipeline: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in pipeline:
        yield step
        yield from _steps(step.get("transforms", []))
