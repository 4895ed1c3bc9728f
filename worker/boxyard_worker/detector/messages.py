"""What parent and model child say to each other over their socket.

The records are pickled: the two ends are one program, and nothing from outside is ever unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxyard_worker.detector.contract import ModelDescription, ModelImage, RawDetections


@dataclass(frozen=True)
class Load:
    """Parent → child, once, first: what to serve and how.

    Attributes:
        model: mmdet-3 name.
        detector: `mmdetection` or `standin`.
        device: as the child sees it.
        weights: a safetensors file, or None for the packaged ones.
        random_weights: seeded random weights instead.
        config: an mmengine configuration in place of the name's own.
        max_batch: most pictures of one device batch.
        max_wait_s: how long a picture waits for batch mates, seconds.
        slots: file descriptors of the slots, inherited.
        classes: a file of label names in place of the weights' and the configuration's.
        language_model: folder of the BERT that a model reads prompts with.
    """

    model: str
    detector: str
    device: str
    weights: Path | None
    random_weights: bool
    config: Path | None
    max_batch: int
    max_wait_s: float
    slots: tuple[int, ...]
    classes: Path | None = None
    language_model: Path | None = None


@dataclass(frozen=True)
class Infer:
    """Parent → child: a picture lies in a slot.

    Attributes:
        id: the parent's number for it, never used twice.
        slot: index of its slot.
        shape: height and width of the pixels in the slot.
        image: all but its pixels, which are empty here.
        alone: it must not share a device batch, because one that held it ended a child.
    """

    id: int
    slot: int
    shape: tuple[int, int]
    image: ModelImage
    alone: bool = False


@dataclass(frozen=True)
class Ready:
    """Child → parent: the model is loaded and warm."""

    description: ModelDescription


@dataclass(frozen=True)
class LoadFailed:
    """Child → parent, last: the model cannot serve.

    Attributes:
        detail: why, and what to do.
        traceback: of an exception that nobody foresaw.
    """

    detail: str
    traceback: str = ""


@dataclass(frozen=True)
class Started:
    """Child → parent: these pictures go on the device now, together."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """Child → parent: what was found in one picture."""

    id: int
    detections: RawDetections


@dataclass(frozen=True)
class Failed:
    """Child → parent: the model raised on this picture alone, or cannot look for what it asks.

    Attributes:
        id: the picture's number.
        detail: what was wrong.
        code: stable, the picture's outcome.
    """

    id: int
    detail: str
    code: str = "inference-failed"


FromChild = Ready | LoadFailed | Started | Done | Failed
