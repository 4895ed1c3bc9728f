"""One entry: loaded as a worker loads it, asked for one picture, its answer checked."""

from __future__ import annotations

import dataclasses
import resource
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from boxyard_schemas.catalogue import CatalogueEntry, catalogue
from boxyard_schemas.jobs import Parameters
from boxyard_worker.detect.encode import encode
from boxyard_worker.detector import Detector, load_detector
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.contract import ModelDescription, ModelImage, Pixels, RawDetections
from boxyard_worker.detector.resize import resize
from small_bert import write_bert
from zoo.outcomes import Outcome, Task
from zoo.shrinking import SIDE

_CROWD = 1000
"""Instances asked for: all."""


def try_entry(task: Task) -> Outcome:
    """Tries an entry in this process, which it may take down."""
    begun = time.monotonic()
    outcome = Outcome(task)
    with _noting_operators() as operators:
        try:
            with tempfile.TemporaryDirectory() as folder:
                detector = _load(task, Path(folder))
            outcome = dataclasses.replace(outcome, load_s=time.monotonic() - begun)
            outcome = _ask(outcome, detector)
        except Exception as error:
            trace = traceback.format_exc()
            outcome = dataclasses.replace(outcome, reason=_tell(error), trace=trace)
    return dataclasses.replace(outcome, operators=tuple(sorted(operators)), **_measure())


def check(raw: RawDetections, entry: CatalogueEntry, description: ModelDescription) -> None:
    """Whether an answer is one that may leave.

    Raises:
        AssertionError: its numbers are not finite, its labels no classes, its masks not there.
    """
    count = len(raw.scores)
    assert len(raw.boxes) == len(raw.labels) == count, "boxes, scores and labels differ in number"
    assert np.isfinite(raw.boxes).all(), "boxes are not finite"
    assert np.isfinite(raw.scores).all(), "scores are not finite"
    assert (np.diff(raw.scores) <= 0).all(), "the best do not come first"
    assert ((raw.labels >= 0) & (raw.labels < len(description.classes))).all(), (
        f"labels reach {raw.labels.max(initial=-1)} of {len(description.classes)} classes"
    )
    if entry.task == "instance-segmentation":
        assert raw.masks is not None, "an instance segmenter gives no masks"
    if raw.masks is not None:
        assert len(raw.masks) == count, "masks and boxes differ in number"


def _load(task: Task, folder: Path) -> Detector:
    from mmengine.registry import init_default_scope

    import boxyard_worker.detector.mmdetection  # noqa: F401 - mmdet needs its operators
    from boxyard_worker.detector.configuration import read_config
    from boxyard_worker.detector.data_sets import class_names
    from zoo.shrinking import shrink

    init_default_scope("mmdet")
    config = read_config(find_model(task.name).config)
    words = " ".join(class_names(config)).split()
    shrink(config)
    config.dump(str(folder / f"{task.name}.py"))
    return load_detector(
        task.name,
        random_weights=True,
        config=None if task.whole else folder / f"{task.name}.py",
        language_model=write_bert(folder / "bert", words),
    )


def _ask(outcome: Outcome, detector: Detector) -> Outcome:
    entry, description = catalogue()[outcome.task.name], detector.describe()
    width, height = (640, 480) if outcome.task.whole else (SIDE, SIDE * 3 // 4)
    pixels = paint(width, height)
    pixels = resize(pixels, description.plan) if description.plan else pixels
    image = ModelImage(pixels, width, height, 0.0, _CROWD, True)
    begun = time.monotonic()
    (raw,) = detector.detect([image])
    seconds = time.monotonic() - begun
    if not len(raw.scores) or not np.isfinite(raw.boxes).all():
        fit_norms(detector, image)
        (raw,) = detector.detect([image])
    check(raw, entry, description)
    if not outcome.task.whole:
        (again,) = detector.detect([image])
        assert np.array_equal(again.boxes, raw.boxes), "the same picture gets another answer"
    words = encode(
        raw,
        classes=description.classes,
        parameters=Parameters(score_threshold=0.0, masks="rle"),
        width=width,
        height=height,
    )
    assert len(words) == len(raw.scores), "not every instance has words"
    return dataclasses.replace(
        outcome,
        found=len(words),
        width=pixels.shape[1],
        height=pixels.shape[0],
        plan=description.plan is not None,
        detect_s=seconds,
    )


def fit_norms(detector: Detector, image: ModelImage) -> None:
    """Sets an untrained model's norms to what they see, so that no layer fades or bursts."""
    import torch

    model = detector._model  # type: ignore[attr-defined]  # what no worker has to reach
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    detector.detect([image, dataclasses.replace(image, pixels=image.pixels[::-1].copy())])
    for norm in norms:
        norm.eval()


def paint(width: int, height: int) -> Pixels:
    """A picture of coloured blobs, always the same."""
    coarse = np.random.default_rng(7).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.ascontiguousarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


@contextmanager
def _noting_operators() -> Iterator[set[str]]:
    """Notes which functions of `mmcv._ext` are called."""
    import boxyard_ops

    boxyard_ops.install()
    import mmcv._ext as extension

    called: set[str] = set()
    written = {name: value for name, value in vars(extension).items() if callable(value)}
    written = {name: value for name, value in written.items() if not name.startswith("_")}
    for name, operator in written.items():
        setattr(extension, name, _noting(name, operator, called))
    try:
        yield called
    finally:
        for name, operator in written.items():
            setattr(extension, name, operator)


def _noting(name: str, operator: Any, called: set[str]) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        called.add(name)
        return operator(*arguments, **named)

    return call


def _tell(error: BaseException) -> str:
    message = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {message}"[:400]


def _measure() -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss >> 10,
        "at": time.time(),
    }
