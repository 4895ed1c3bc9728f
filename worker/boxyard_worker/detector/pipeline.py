"""A model's own test pipeline, on pictures that are decoded already.

Where the pipeline is the ordinary load, resize, maybe pad, pack, the resize becomes a
`ResizePlan` for the parent process and the rest runs here. Any other pipeline runs here whole.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from mmdet.registry import TRANSFORMS
from mmengine.config import Config

from boxyard_worker.detector.contract import ModelImage, ResizePlan
from boxyard_worker.detector.data_sets import test_pipeline, type_name
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.resize import INTERPOLATIONS, resize
from boxyard_worker.detector.transforms import Step, check_steps, is_librarys

_LEAST_SIDE: Final = 16
"""Pixels of a 640x480 image's shorter side in the model's input: fewer are one cell or none."""
_CHANNELS: Final = 3


class Pipeline:
    """Turns pictures into what a model's data preprocessor takes.

    Attributes:
        plan: the resize to run before `pack`, or None when `pack` does everything.

    Raises:
        DetectorLoadError: it holds what is not served, fails, or shows the model no image.
    """

    def __init__(self, config: Config) -> None:
        loading, *steps = check_steps(test_pipeline(config))
        self.plan = _plan(loading, steps)
        start = {
            "type": "mmdet.LoadImageFromNDArray",
            "to_float32": loading.get("to_float32", False),
        }
        # All are built, that of the plan too, so that each has checked its own options.
        self._transforms = [_build(step) for step in (start, *steps)][2 if self.plan else 0 :]
        self._check_sizes()

    def pack(self, image: ModelImage) -> dict[str, Any]:
        """One picture as mmdet's `inputs` (uint8, channels first) and `data_samples`."""
        # torch shares memory with the array, and warns of one that it may not write to.
        results: dict[str, Any] = {"img": np.require(image.pixels, requirements=["C", "W"])}
        if self.plan:
            results |= _resized(image, self.plan)
        for transform in self._transforms:
            results = transform(results)
        return results

    def _check_sizes(self) -> None:
        """Tries the pipeline on an image of either orientation.

        Raises:
            DetectorLoadError: a step fails, or too little of the image is left to see.
        """
        for width, height in ((640, 480), (480, 640)):
            try:
                packed = self.pack(self._try_image(width, height))
                inputs, shown = packed["inputs"], packed["data_samples"].metainfo["img_shape"][:2]
            except Exception as error:
                raise DetectorLoadError(
                    f"The test pipeline fails on an image of {width}x{height} pixels:"
                    f" {type(error).__name__}: {' '.join(str(error).split())[:200]}.",
                    "Check the options of its steps; it must end with PackDetInputs.",
                ) from error
            if min(shown) < _LEAST_SIDE:
                raise DetectorLoadError(
                    f"The test pipeline leaves {shown[1]}x{shown[0]} pixels of an image of"
                    f" {width}x{height}, in which nothing can be found.",
                    f"Give Resize a scale that leaves each side {_LEAST_SIDE} pixels or more, such"
                    " as the one that the model was trained with.",
                )
            if inputs.shape[0] != _CHANNELS or not inputs.float().isfinite().all():
                raise DetectorLoadError(
                    f"The test pipeline makes {inputs.shape[0]} channels of an image, or numbers"
                    " that are not finite.",
                    "Check the steps that change colours, such as the `std` of Normalize.",
                )

    def _try_image(self, width: int, height: int) -> ModelImage:
        rows, columns = np.indices((height, width))
        pixels = np.stack([rows, columns, rows + columns], 2).astype(np.uint8)
        if self.plan:
            pixels = resize(pixels, self.plan)
        return ModelImage(pixels, width, height, 0.0, 1, False)


def _build(step: Step) -> Any:
    try:
        return TRANSFORMS.build(step)
    except Exception as error:
        options = ", ".join(f"{name}={value!r}" for name, value in step.items() if name != "type")
        raise DetectorLoadError(
            f"The step {type_name(step['type'])}({options[:200]}) of the test pipeline cannot be"
            f" made: {str(error)[:200] or type(error).__name__}.",
            "Give it the options that mmdet 3 has for it.",
        ) from error


def _plan(loading: Step, steps: list[Step]) -> ResizePlan | None:
    names = [type_name(step["type"]) for step in steps]
    if names not in (["Resize", "PackDetInputs"], ["Resize", "Pad", "PackDetInputs"]):
        return None
    if loading.get("to_float32"):  # floats resize to other numbers
        return None
    if not is_librarys(steps[0]["type"]):
        return None
    options = steps[0]
    scale, interpolation = options.get("scale"), options.get("interpolation", "bilinear")
    width, height = scale if isinstance(scale, tuple) else (scale, scale)
    if options.get("backend", "cv2") != "cv2" or interpolation not in INTERPOLATIONS:
        return None
    if not (isinstance(width, int) and isinstance(height, int)):
        return None
    return ResizePlan(width, height, bool(options.get("keep_ratio", False)), interpolation)


def _resized(image: ModelImage, plan: ResizePlan) -> dict[str, Any]:
    """What mmdet's loading and `Resize` would have noted."""
    height, width = image.pixels.shape[:2]
    return {
        "img_path": None,
        "ori_shape": (image.height, image.width),
        "img_shape": (height, width),
        "scale": (plan.width, plan.height),
        "scale_factor": (width / image.width, height / image.height),
        "keep_ratio": plan.keep_ratio,
    }
