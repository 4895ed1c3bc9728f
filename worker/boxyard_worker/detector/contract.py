"""What crosses between the worker's parent process and its model child.

The parent fetches and decodes, the child owns the device. Pixels go over in shared-memory slots;
everything else is one of the small records below. `Detector` is the seam with two
implementations: MMDetection (`mmdetection.py`) and the deterministic stand-in (`standin.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""One picture, `(height, width, 3)`, uint8, BGR, upright (EXIF orientation already applied)."""


@dataclass(frozen=True)
class ResizePlan:
    """How a decoded picture is resized before it crosses: mmcv's `Resize`, no more.

    Attributes:
        width: the target's width in pixels (mmdet's `scale[0]`).
        height: the target's height in pixels (mmdet's `scale[1]`).
        keep_ratio: fit inside the target (mmcv's `rescale_size` rule) instead of filling it.
        interpolation: mmcv's name, `bilinear` or another of cv2's.
    """

    width: int
    height: int
    keep_ratio: bool = True
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class ModelDescription:
    """What the child says of itself once the model is loaded and warm.

    Attributes:
        model: mmdet-3 name.
        classes: label names, in the order of label ids.
        masks: whether the model segments instances.
        plan: the resize that the decoder runs, or None when the whole pipeline runs in the child.
        weights_sha256: hex digest of the weights file, or "" for random weights.
        config_sha256: hex digest of the model's resolved configuration.
        device: such as `cpu` or `cuda:0`.
        precision: such as `float32`.
        versions: library name → version.
        text_prompt: whether it looks for what a text says.
    """

    model: str
    classes: tuple[str, ...]
    masks: bool
    plan: ResizePlan | None
    weights_sha256: str
    config_sha256: str
    device: str
    precision: str = "float32"
    versions: dict[str, str] = field(default_factory=dict)
    text_prompt: bool = False


@dataclass(frozen=True)
class ModelImage:
    """One picture on its way into the model.

    Attributes:
        pixels: resized by the plan, or as decoded when there is no plan.
        width: original width in pixels.
        height: original height in pixels.
        score_threshold: instances that score lower are dropped before masks are made.
        max_detections: at most this many instances, best first.
        masks: whether masks are wanted.
        text: what to look for, or None for the model's own classes.
        custom_entities: the text names things, with ". " between them; else it is a sentence.
    """

    pixels: Pixels
    width: int
    height: int
    score_threshold: float
    max_detections: int
    masks: bool
    text: str | None = None
    custom_entities: bool = True


@dataclass(frozen=True)
class CroppedMask:
    """A binary mask, cut to the rectangle that holds all its set pixels and bit-packed.

    Attributes:
        x: left edge in pixels of the original picture.
        y: top edge in pixels of the original picture.
        width: of the rectangle, pixels; 0 for an empty mask.
        height: of the rectangle, pixels; 0 for an empty mask.
        bits: `numpy.packbits` of the row-major rectangle.
    """

    x: int
    y: int
    width: int
    height: int
    bits: bytes

    @classmethod
    def pack(cls, mask: NDArray[np.bool_], x: int = 0, y: int = 0) -> CroppedMask:
        """Cuts and packs a mask whose corner lies at (x, y) of the original picture."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if rows.size == 0:
            return cls(0, 0, 0, 0, b"")
        cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = cut.shape
        return cls(x + int(columns[0]), y + int(rows[0]), width, height, np.packbits(cut).tobytes())

    def unpack(self) -> NDArray[np.bool_]:
        """The rectangle, `(height, width)`."""
        count = self.width * self.height
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count)
        return bits.astype(bool).reshape(self.height, self.width)


@dataclass(frozen=True)
class RawDetections:
    """What the model found in one picture, best score first.

    Attributes:
        boxes: `(n, 4)` float32, x1 y1 x2 y2 in pixels of the original picture.
        scores: `(n,)` float32.
        labels: `(n,)` int64, label ids.
        masks: n masks, or None when the model has none or none were asked for.
        names: n label names where a text said what to look for; else None, and the labels are
            those of the model's classes.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: tuple[CroppedMask, ...] | None = None
    names: tuple[str, ...] | None = None


class Detector(Protocol):
    """A loaded, warm model on one device. Used by one thread."""

    def describe(self) -> ModelDescription:
        """Says what was loaded."""
        ...

    def group(self, image: ModelImage) -> Hashable:
        """The shape group: only images of equal group may share a device batch.

        May raise what `detect` would raise of the image; it then goes alone.
        """
        ...

    def detect(self, batch: Sequence[ModelImage]) -> list[RawDetections]:
        """Runs one device batch of a single shape group; results in the batch's order.

        Raises:
            PromptError: the model cannot look for what a picture's text says.
        """
        ...
