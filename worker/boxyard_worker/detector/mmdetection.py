"""The detector on MMDetection: one model, loaded and warm, on one device."""

from __future__ import annotations

import dataclasses
import platform
import re
import warnings
from collections.abc import Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

import boxyard_ops
from boxyard_worker.detector.extras import EXTRAS, leave_out, missing_module

boxyard_ops.install()  # mmdet imports mmcv.ops, which needs its compiled half or this one

# These are older than the libraries under them; what they are warned of is nobody's news here.
warnings.filterwarnings("ignore", module="(.*/)?(mmcv|mmdet|mmengine)")
warnings.filterwarnings("ignore", message="torch.meshgrid")

with leave_out(*EXTRAS):  # a model that needs one brings it in
    import mmdet.datasets
    import mmdet.models

import mmcv
import mmengine
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import init_default_scope

from boxyard_worker.detector.catalogue import ModelFiles, choose_weights, find_model
from boxyard_worker.detector.configuration import hash_config, read_config
from boxyard_worker.detector.contract import (
    ModelDescription,
    ModelImage,
    Pixels,
    RawDetections,
)
from boxyard_worker.detector.data_sets import check_declared, class_names
from boxyard_worker.detector.detections import collect
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.faults import mend
from boxyard_worker.detector.heads import REQUEST, limit_masks
from boxyard_worker.detector.labels import check_labels, check_names, read_labels
from boxyard_worker.detector.pipeline import Pipeline
from boxyard_worker.detector.postprocessing import try_steps
from boxyard_worker.detector.prompts import Prompts
from boxyard_worker.detector.resize import resize
from boxyard_worker.detector.vocabulary import find_language, place_language
from boxyard_worker.detector.weights import (
    Weights,
    load_weights,
    randomise,
    read_weights,
)


def load(
    name: str,
    device: str,
    *,
    weights: Path | None,
    random_weights: bool,
    config: Path | None,
    classes: Path | None,
    language_model: Path | None,
) -> MMDetector:
    """Does what `boxyard_worker.detector.load_detector` says."""
    init_default_scope("mmdet")
    entry = ModelFiles(name, config) if config else find_model(name)
    settings = read_config(entry.config)
    built = place_language(settings.model, language_model)
    held = None if random_weights else read_weights(choose_weights(entry, weights))
    try:  # the pure Python form imports a type when that is first looked at
        labels = _choose_labels(settings, held, classes)
        pipeline = Pipeline(settings)
    except ImportError as error:
        raise missing_module(error, f"The model {name}", entry.config) from error
    model = _build(name, built, held, _check_device(device))
    if config or classes:
        check_labels(model, labels)
    folder = find_language(built)
    description = _describe(name, settings, held, device, labels=labels, language=folder)
    prompts = Prompts(model, labels, folder) if folder else None
    detector = MMDetector(model, pipeline, description, prompts)
    detector.warm_up()
    return detector


class MMDetector:
    """A `Detector`: mmdet's model behind its own test pipeline."""

    def __init__(
        self,
        model: Any,
        pipeline: Pipeline,
        description: ModelDescription,
        prompts: Prompts | None = None,
    ) -> None:
        self._model = model
        self._pipeline = pipeline
        self._prompts = prompts
        self._description = dataclasses.replace(description, plan=pipeline.plan)
        self._padded_shape = lru_cache(maxsize=4096)(self._find_padded_shape)

    def describe(self) -> ModelDescription:
        """Says what was loaded."""
        return self._description

    def group(self, image: ModelImage) -> Hashable:
        """The exact padded `(height, width)` in pixels that the model itself would see, and what
        it is to look for.
        """
        shape = self._padded_shape(*image.pixels.shape[:2])
        return (shape, image.text, image.custom_entities) if self._prompts else shape

    def detect(self, batch: Sequence[ModelImage]) -> list[RawDetections]:
        """Runs one device batch of a single shape group; results in the batch's order."""
        if not batch:
            return []
        with torch.inference_mode():
            packed = self._pack(batch)
            for sample, image in zip(packed["data_samples"], batch, strict=True):
                sample.set_metainfo(self._prompts.read(image) if self._prompts else {})
            samples = self._model.test_step(packed)
            return [
                collect(_instances(sample), image)
                for sample, image in zip(samples, batch, strict=True)
            ]

    def warm_up(self) -> None:
        """Detects in a gray picture, and learns from it whether the model makes masks.

        Raises:
            DetectorLoadError: the model fails on it.
        """
        image = self._gray(480, 640)
        self._check_input(image)
        try:
            (found,) = self.detect([image])
        except Exception as error:
            raise DetectorLoadError(
                f"The model {self._description.model} fails on a gray picture on"
                f" {self._description.device}: {type(error).__name__}: {error}",
                "Try it on the CPU; if it fails there too, this model cannot be served.",
            ) from error
        self._description = dataclasses.replace(self._description, masks=found.masks is not None)
        if not len(found.scores):
            # One mask of a small image: of an untrained model, each pixel of it takes long.
            small = dataclasses.replace(self._gray(240, 320), max_detections=1)
            try_steps(self._description.model, self._model, lambda: self.detect([small]))

    def _check_input(self, image: ModelImage) -> None:
        """Refuses a data preprocessor that makes no numbers of an image, as a `std` of 0 does."""
        try:
            with torch.inference_mode():
                inputs = self._model.data_preprocessor(self._pack([image]), False)["inputs"]
            fault = None if inputs.isfinite().all() else "it makes numbers that are not finite"
        except Exception as error:
            fault = f"it raised {type(error).__name__}: {str(error)[:200]}"
        if fault:
            raise DetectorLoadError(
                f"The `data_preprocessor` of {self._description.model} cannot be used: {fault}.",
                "Check its `mean`, `std` and colours in the configuration.",
            )

    def _gray(self, height: int, width: int) -> ModelImage:
        pixels: Pixels = np.full((height, width, 3), 114, np.uint8)
        plan = self._pipeline.plan
        return ModelImage(
            resize(pixels, plan) if plan else pixels,
            width,
            height,
            score_threshold=0.0,
            max_detections=8,
            masks=True,
            text="object" if self._prompts else None,
        )

    def _pack(self, batch: Sequence[ModelImage]) -> dict[str, list[Any]]:
        packed = [self._pipeline.pack(image) for image in batch]
        for one, image in zip(packed, batch, strict=True):
            one["data_samples"].set_metainfo({REQUEST: image})
        return {key: [one[key] for one in packed] for key in ("inputs", "data_samples")}

    def _find_padded_shape(self, height: int, width: int) -> tuple[int, int]:
        # The model's own code says it, on an empty picture; its size alone decides.
        image = ModelImage(np.zeros((height, width, 3), np.uint8), width, height, 0.0, 0, False)
        with torch.inference_mode():
            inputs = self._model.data_preprocessor(self._pack([image]), False)["inputs"]
        return int(inputs.shape[-2]), int(inputs.shape[-1])


def _instances(sample: Any) -> Any:
    if "pred_instances" not in sample:
        raise TypeError("it labels every pixel of a picture and finds no single objects")
    return sample.pred_instances


def _choose_labels(settings: Config, held: Weights | None, chosen: Path | None) -> tuple[str, ...]:
    if chosen:
        return read_labels(chosen)
    if not (held and held.classes):
        return class_names(settings)
    check_declared(settings)  # a configuration that says one thing is not served as another
    try:
        return check_names(held.classes, f"The weights file {held.path.name}")
    except DetectorLoadError:
        if held.classes != class_names(settings):  # some data sets publish names that repeat
            raise
        return class_names(settings)


def _check_device(device: str) -> torch.device:
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise DetectorLoadError(
            f"The device {device!r} cannot be used: {str(error).rstrip('.')}.",
            "`boxyard-worker check` lists the GPUs; `--device cpu` needs none.",
        ) from error
    # The description says float32; by default cuDNN rounds convolutions' inputs to 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    return found


def _build(name: str, config: Any, held: Weights | None, device: torch.device) -> Any:
    try:
        model = revert_sync_batchnorm(MODELS.build(config))
    except Exception as error:
        quoted = isinstance(error, KeyError) and error.args
        told = str(error.args[0] if quoted else error).partition("\n")[0]
        if unknown := re.search(r"(\S+) is not in the \S+ registry", told):
            raise DetectorLoadError(
                f"The model {name} cannot be built: nothing imported is called {unknown[1]}.",
                "Check its spelling in the configuration. If it is your own, name its module in"
                " `custom_imports`, and put the folder that the module lies in on PYTHONPATH.",
            ) from error
        raise DetectorLoadError(
            f"The model {name} cannot be built: {type(error).__name__}: {told[:300]}.",
            "Its configuration may ask for a package that is not installed, or for another"
            " version of mmdet than the tested one.",
        ) from error
    if held:
        load_weights(model, held)
    else:
        randomise(model)
    mend(model)
    limit_masks(model)
    if type(model.data_preprocessor) is BaseDataPreprocessor:  # mmengine's, for want of any
        raise DetectorLoadError(
            f"The configuration of {name} has no `data_preprocessor`, which normalises images.",
            "Give its `model` the one it was trained with, as in data_preprocessor=dict("
            "type='DetDataPreprocessor', mean=[…], std=[…], bgr_to_rgb=True, pad_size_divisor=32).",
        )
    model.to(device)
    model.eval()
    return model


def _describe(
    name: str,
    settings: Config,
    held: Weights | None,
    device: str,
    *,
    labels: tuple[str, ...],
    language: Path | None,
) -> ModelDescription:
    libraries = (torch, torchvision, mmdet, mmcv, mmengine)
    return ModelDescription(
        model=name,
        classes=labels,
        masks=False,
        plan=None,
        weights_sha256=held.sha256 if held else "",
        config_sha256=hash_config(settings, language),
        device=device,
        versions={
            "python": platform.python_version(),
            **{library.__name__: str(library.__version__) for library in libraries},
        },
        text_prompt=language is not None,
    )
