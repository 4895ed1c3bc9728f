"""The folder that an open-vocabulary model's BERT is made by: its configuration and vocabulary.

Its weights are among the model's own. Nothing here imports transformers.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.extras import import_all

_NAMES: Final = {"BertModel": "name", "ATSSVLFusionHead": "lang_model_name"}
"""What is made by it → the option that names it."""

_FILES: Final = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json")


def find_language(placed: Any) -> Path | None:
    """The folder that a placed configuration's BERT is made by; None where it has none."""
    language = placed.get("language_model")
    return Path(language["name"]) if language else None


def place_language(model: Any, folder: Path | None) -> Any:
    """A model's configuration with its BERT made by a folder; imports what that takes.

    Args:
        model: the configuration; it stays as it is.
        folder: the operator's; a configuration of their own may name its folder itself.

    Raises:
        DetectorLoadError: no folder is named, it lacks a file, or the extra is not installed.
    """
    placed = copy.deepcopy(model)
    for node, option in _find_names(placed):
        node[option] = str(_check(folder or Path(node.get(option, "")), node.get(option)))
    if find_language(placed):
        modules = ("transformers", "boxyard_worker.detector.language")
        import_all(modules, "A model that reads prompts")
    return placed


def hash_folder(folder: Path) -> str:
    """Hex sha256 of the files in a folder that decide the numbers."""
    digest = hashlib.sha256()
    for path in filter(Path.is_file, map(folder.joinpath, _FILES)):
        digest.update(hashlib.sha256(path.read_bytes()).digest() + path.name.encode())
    return digest.hexdigest()


def _find_names(node: Any) -> Iterator[tuple[Any, str]]:
    if isinstance(node, dict):
        kind = str(node.get("type")).rpartition(".")[2]
        if kind in _NAMES:
            yield node, _NAMES[kind]
        for value in node.values():
            yield from _find_names(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _find_names(item)


def _check(folder: Path, named: str | None) -> Path:
    has_words = (folder / "vocab.txt").is_file() or (folder / "tokenizer.json").is_file()
    if not (folder.is_dir() and has_words and (folder / "config.json").is_file()):
        wanted = named or "bert-base-uncased"
        raise DetectorLoadError(
            f"The model reads prompts by the vocabulary of {wanted}, which is not in {folder}."
            if str(folder) != named
            else f"The model reads prompts by the vocabulary of {wanted}, which is not here.",
            f"Once, fetch config.json and vocab.txt of {wanted} (its weights are not needed), as"
            " from https://huggingface.co/google-bert/bert-base-uncased, and name their folder:"
            " BOXYARD_LANGUAGE_MODEL=DIR. Nothing is fetched while serving.",
        )
    return folder
