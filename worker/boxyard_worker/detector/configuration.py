"""A model's mmengine configuration: read, made safe to build offline, described."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mmdet.evaluation.functional import oid_challenge_classes, oid_v6_classes
from mmdet.registry import DATASETS
from mmengine.config import Config

from boxyard_worker.detector.convnext import ConvNeXt
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.extras import import_all
from boxyard_worker.detector.vocabulary import hash_folder

_BOXINST_TRAINING = (
    "mask_stride",
    "pairwise_size",
    "pairwise_dilation",
    "pairwise_color_thresh",
    "bottom_pixels_removed",
)

_LISTED_CLASSES = {
    # Their data sets' types read the names from a file of the data set.
    "OpenImagesDataset": oid_v6_classes,
    "OpenImagesChallengeDataset": oid_challenge_classes,
}


def read_config(path: Path) -> Config:
    """Reads a configuration file, without anything that would fetch weights while building.

    Raises:
        DetectorLoadError: the file does not run, lacks a model or a test pipeline, or imports what
            is not installed.
    """
    try:
        config = Config.fromfile(str(path), import_custom_modules=False)
        _forget_downloads(config.model)
        _forget_training(config.model)
        _embed_teacher(config.model, path)
        import_all(_custom_imports(config), f"The configuration {path.name}")
        test_pipeline(config)
    except DetectorLoadError:
        raise
    except Exception as error:
        raise DetectorLoadError(
            f"The configuration {path.name} cannot be read: {type(error).__name__}: {error}.",
            "It must be an mmdet 3 configuration with `model` and `test_dataloader`.",
        ) from error
    return config


def test_pipeline(config: Config) -> list[dict[str, Any]]:
    """The transforms of the model's test data, plain dicts, free to be changed."""
    return [dict(step) for step in config.test_dataloader.dataset.pipeline]


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


def class_names(config: Config) -> tuple[str, ...]:
    """Label names as the configuration or its dataset's type gives them, in label order."""
    if config.model.get("type") == "RPN":
        return ("object",)  # it finds where things are, not what; its data's names are not its own
    dataset = config.test_dataloader.dataset
    metainfo = dataset.get("metainfo") or config.get("metainfo") or {}
    if not isinstance(metainfo, dict) or "classes" not in metainfo:
        kind = dataset.get("type")
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if listed := _LISTED_CLASSES.get(getattr(kind, "__name__", "")):
            return tuple(listed())
        metainfo = getattr(kind, "METAINFO", {})
    classes = metainfo.get("classes", ())
    return (classes,) if isinstance(classes, str) else tuple(classes)


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
    return str(node.get("type")).rpartition(".")[2] == name


def _custom_imports(config: Config) -> list[str]:
    """What the configuration wants imported; `convnext` stands for mmpretrain where it can."""
    modules = config.get("custom_imports", {}).get("imports", [])
    named = [modules] if isinstance(modules, str) else list(modules)
    needed = "mmpretrain." in str(config.model)
    return [name for name in named if needed or not name.startswith("mmpretrain")]


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
