"""A model's mmengine configuration: read, made safe to build offline, described."""

from __future__ import annotations

import codecs
import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config

from boxyard_worker.detector.config_files import find_lazy_use, read_file
from boxyard_worker.detector.convnext import ConvNeXt
from boxyard_worker.detector.data_sets import test_pipeline, type_name
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.extras import missing_module
from boxyard_worker.detector.file_kinds import JSON, TEXT, refuse_foreign
from boxyard_worker.detector.postprocessing import check_options
from boxyard_worker.detector.vocabulary import hash_folder

_MODULE = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)*(?<!\.py)")
_BOXINST_TRAINING = (
    "mask_stride",
    "pairwise_size",
    "pairwise_dilation",
    "pairwise_color_thresh",
    "bottom_pixels_removed",
)


def read_config(path: Path) -> Config:
    """Reads a configuration file, without anything that would fetch weights while building.

    Raises:
        DetectorLoadError: the file does not run, lacks a model or a test pipeline, or imports what
            is not installed.
    """
    config = _run(path)
    try:
        if not isinstance(config.get("model"), dict) or not config.model.get("type"):
            raise _not_served(path, "has no `model` with a `type`")
        if config.get("test_dataloader") is None and "data" in config:
            raise _not_served(path, "is for mmdet 2: it has `data` and no `test_dataloader`")
        check_options(config.model.get("test_cfg"), path)
        if config.model.get("data_preprocessor") is None and "data_preprocessor" in config:
            config.model.data_preprocessor = config.data_preprocessor  # as mmengine's Runner does
        _forget_downloads(config.model)
        _forget_training(config.model)
        _embed_teacher(config.model, path)
        _import_modules(config, path)
        test_pipeline(config)
    except ImportError as error:
        raise missing_module(error, f"The configuration {path.name}", path) from error
    return config


def _run(path: Path) -> Config:
    what = f"The configuration {path.name} cannot be read"
    try:
        refuse_foreign(path, "The configuration", JSON, TEXT)
        _refuse_marked(path)
        return read_file(path)
    except DetectorLoadError:
        raise
    except RecursionError as error:
        raise DetectorLoadError(
            f"{what}: a value or a base of it contains itself.", "Correct its `_base_` first."
        ) from error
    except SystemExit as error:
        raise DetectorLoadError(
            f"{what}: running it ended Python, by {error!r}.", "Take that call out."
        ) from error
    except SyntaxError as error:
        raise DetectorLoadError(
            f"{what}: line {error.lineno or '?'} is not Python ({error.msg}).", "Correct that line."
        ) from error
    except ImportError as error:
        raise missing_module(error, f"The configuration {path.name}", path) from error
    except (OSError, UnicodeError) as error:
        fault = getattr(error, "strerror", None) or error
        raise DetectorLoadError(
            f"{what}: {fault}.", "Name a configuration file: .py, .json or .yaml, in UTF-8."
        ) from error
    except Exception as error:
        if place := find_lazy_use(error):
            raise DetectorLoadError(
                f"{what}: {place} uses the value of something imported from a library, and"
                " mmengine imports no library while it reads a configuration.",
                "Write the value itself there; only Python's standard library can be called.",
            ) from error
        raise DetectorLoadError(
            f"{what}: running it raised {type(error).__name__}: {str(error)[:300]}.",
            "It must run as mmengine runs it: Config.fromfile(FILE).",
        ) from error


def _refuse_marked(path: Path) -> None:
    """Refuses a byte order mark, which mmengine takes for Python or JSON."""
    with path.open("rb") as file:
        head = file.read(3)
    if head.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DetectorLoadError(
            f"The configuration {path.name} begins with a byte order mark.",
            "Save it as UTF-8 without one: in some editors that is called `UTF-8`, and the other"
            " `UTF-8 with BOM` or `Unicode`.",
        )


def _not_served(path: Path, fault: str) -> DetectorLoadError:
    return DetectorLoadError(
        f"The configuration {path.name} cannot be read: it {fault}.",
        "It must be an mmdet 3 configuration with `model` and `test_dataloader`; mmdet's"
        " migration guide says how to move one from mmdet 2.",
    )


def hash_config(config: Config, language: Path | None = None) -> str:
    """Hex sha256 of what decides the numbers: the resolved model and its test pipeline.

    Args:
        config: the model's.
        language: folder of the BERT that it reads prompts with.
    """
    deciding = {"model": config.model.to_dict(), "pipeline": test_pipeline(config)}
    if language:
        deciding["language"] = hash_folder(language)
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, default=str).encode()).hexdigest()


def _forget_downloads(node: Any) -> None:
    # Backbones ask for ImageNet weights by URL (`init_cfg`, `pretrained`), distilled models for
    # their teacher's. The model's own weights hold or replace all of these.
    if isinstance(node, dict):
        for key, value in list(node.items()):
            if key == "pretrained" or _is_download(value):
                node[key] = None
            else:
                _forget_downloads(value)
    elif isinstance(node, list | tuple):
        for item in node:
            _forget_downloads(item)


def _forget_training(node: Any) -> None:
    # These need fairscale, scikit-image and mmpretrain, and change no prediction.
    if isinstance(node, dict):
        if node.get("num_cp"):
            node["num_cp"] = 0
        if _is_named(node, "BoxInstDataPreprocessor"):
            for option in _BOXINST_TRAINING:
                node.pop(option, None)
            node["type"] = "DetDataPreprocessor"
        if _is_named(node, "MMSyncBN"):
            node["type"] = "BN"  # the same weights and numbers, without a process group
        if node.get("type") == "mmpretrain.ConvNeXt":
            node["type"] = ConvNeXt.__name__
        for value in node.values():
            _forget_training(value)
    elif isinstance(node, list | tuple):
        for item in node:
            _forget_training(item)


def _is_named(node: dict[str, Any], name: str) -> bool:
    return type_name(node.get("type")) == name


def _import_modules(config: Config, path: Path) -> None:
    """Imports what the configuration wants; `convnext` stands for mmpretrain where it can."""
    wanted = config.get("custom_imports") or {}
    modules = wanted.get("imports") if isinstance(wanted, dict) else wanted
    optional = isinstance(wanted, dict) and wanted.get("allow_failed_imports") is True
    needed = "mmpretrain." in str(config.model)
    modules = [modules] if isinstance(modules, str) else modules or ()
    if not isinstance(modules, list | tuple):
        raise _not_importable(path, modules)
    for module in modules:
        if not isinstance(module, str) or not _MODULE.fullmatch(module):
            raise _not_importable(path, module)
        if needed or not module.startswith("mmpretrain"):
            _import_module(module, path, optional=optional)


def _not_importable(path: Path, found: object) -> DetectorLoadError:
    return DetectorLoadError(
        f"The configuration {path.name} has {found!r:.100} in its `custom_imports`, which is no"
        " module's name.",
        "Name modules as an import statement does, as in"
        " custom_imports=dict(imports=['projects.shelf']), and put the folder that they lie in on"
        " PYTHONPATH.",
    )


def _import_module(module: str, path: Path, *, optional: bool) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        if not optional:
            raise
    except (Exception, SystemExit) as error:
        raise DetectorLoadError(
            f"The module {module}, which the configuration {path.name} imports, raised"
            f" {type(error).__name__}: {str(error)[:300]}.",
            "Correct the module.",
        ) from error


def _embed_teacher(model: Any, path: Path) -> None:
    # Distilled models name their teacher's configuration by a path from mmdet's root.
    teacher = model.get("teacher_config")
    if isinstance(teacher, str):
        root = next((folder.parent for folder in path.parents if folder.name == "configs"), Path())
        model["teacher_config"] = {"model": read_config(root / teacher).model}


def _is_download(value: Any) -> bool:
    if isinstance(value, dict):
        # PVT's backbones leave the type out.
        return "Pretrained" in str(value.get("type")) or _is_download(value.get("checkpoint"))
    return isinstance(value, str) and "://" in value
