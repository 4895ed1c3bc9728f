"""A detector without a model: it finds saturated red, green and blue areas, or those of the
colours that a prompt names.

It ships beside the real one so that every part around the model can be tried, fast and exactly,
and it is deterministic. Pictures whose top left pixel has the colour of a `Trouble` make it
misbehave the way a model might; that is its other purpose.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Hashable, Sequence
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from boxyard_schemas.catalogue import takes_prompt
from boxyard_worker.detector.contract import (
    CroppedMask,
    ModelDescription,
    ModelImage,
    Pixels,
    RawDetections,
)
from boxyard_worker.detector.errors import PromptError

CLASSES = ("red", "green", "blue")
_BRIGHT, _DARK = 200, 80


class Trouble(Enum):
    """Colours (blue, green, red) of the top left pixel, and what they make of the stand-in."""

    CRASH = (13, 0, 1)
    """The process ends."""
    HANG = (13, 0, 2)
    """It never answers."""
    EXHAUST = (13, 0, 3)
    """It asks for more memory than there is."""
    RAISE = (13, 0, 4)
    """It raises."""
    SLOW = (13, 0, 5)
    """It takes a second."""
    MISFIT = (13, 0, 6)
    """It raises, also when it is asked which pictures this one goes with."""


class StandIn:
    """A `Detector` of pure colours."""

    def __init__(self, model: str) -> None:
        self._model = model

    def describe(self) -> ModelDescription:
        """Says that nothing was loaded."""
        return ModelDescription(
            model=self._model,
            classes=CLASSES,
            masks=True,
            plan=None,
            weights_sha256="",
            config_sha256="",
            device="cpu",
            versions={"opencv": cv2.__version__},
            text_prompt=takes_prompt(self._model),
        )

    def group(self, image: ModelImage) -> Hashable:
        """Pictures of one size and prompt share a batch."""
        if _colour(image.pixels) == Trouble.MISFIT.value:
            raise ValueError("the picture goes with none")
        return image.pixels.shape[:2], image.text

    def detect(self, batch: Sequence[ModelImage]) -> list[RawDetections]:
        """Finds the areas of every picture.

        Raises:
            PromptError: the prompt names something else than colours.
        """
        for image in batch:
            _misbehave(image.pixels)
        return [_find(image) for image in batch]


def _read_prompt(text: str | None) -> tuple[str, ...]:
    names = CLASSES if text is None else tuple(text.strip(". ").split(". "))
    if not set(names) <= set(CLASSES):
        raise PromptError("empty-prompt", "The prompt names no colour that it knows.")
    return names


def _find(image: ModelImage) -> RawDetections:
    names = _read_prompt(image.text)
    found = [
        (1 - 1 / (1 + area), label, mask, box)
        for label, name in enumerate(names)
        for area, mask, box in _areas(image.pixels, CLASSES.index(name))
    ]
    found = [each for each in found if each[0] >= image.score_threshold]
    found.sort(key=lambda each: -each[0])
    found = found[: image.max_detections]
    return RawDetections(
        boxes=np.array([box for *_, box in found], np.float32).reshape(-1, 4),
        scores=np.array([score for score, *_ in found], np.float32),
        labels=np.array([label for _, label, *_ in found], np.int64),
        masks=tuple(CroppedMask.pack(mask) for _, _, mask, _ in found) if image.masks else None,
        names=None if image.text is None else tuple(names[label] for _, label, *_ in found),
    )


def _areas(
    pixels: Pixels, label: int
) -> list[tuple[int, NDArray[np.bool_], tuple[int, int, int, int]]]:
    """Area in pixels, full-size mask and corners of each connected part of one colour."""
    channel = 2 - label  # the classes are red, green, blue; the pixels are BGR
    others = [c for c in range(3) if c != channel]
    lit = (pixels[..., channel] >= _BRIGHT) & (pixels[..., others] <= _DARK).all(-1)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(lit.astype(np.uint8))
    areas = []
    for part in range(1, count):
        x, y, width, height, area = stats[part].tolist()
        areas.append((area, parts == part, (x, y, x + width, y + height)))
    return areas


def _colour(pixels: Pixels) -> tuple[int, ...]:
    return tuple(pixels[0, 0].tolist())


def _misbehave(pixels: Pixels) -> None:
    colour = _colour(pixels)
    if colour == Trouble.CRASH.value:
        os._exit(1)
    elif colour == Trouble.HANG.value:
        time.sleep(3600)
    elif colour == Trouble.EXHAUST.value:
        _exhaust()
    elif colour in (Trouble.RAISE.value, Trouble.MISFIT.value):
        raise ValueError("the picture asked for it")
    elif colour == Trouble.SLOW.value:
        time.sleep(1)


def _exhaust() -> None:
    """Meets a real `MemoryError` without taking the machine's memory."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, limits[1]))
    try:
        np.ones(16 << 30, np.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
