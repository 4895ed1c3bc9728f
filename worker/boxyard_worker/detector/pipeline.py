"""A model's own test pipeline, on pictures that are decoded already.

Where the pipeline is the ordinary load, resize, maybe pad, pack, the resize becomes a
`ResizePlan` for the parent process and the rest runs here. Any other pipeline runs here whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config

from boxyard_worker.detector.configuration import test_pipeline
from boxyard_worker.detector.contract import ModelImage, ResizePlan
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.resize import INTERPOLATIONS

Step = dict[str, Any]


class Pipeline:
    """Turns pictures into what a model's data preprocessor takes.

    Attributes:
        plan: the resize to run before `pack`, or None when `pack` does everything.

    Raises:
        DetectorLoadError: the pipeline does not take one picture file and nothing else.
    """

    def __init__(self, config: Config) -> None:
        steps = [s for s in test_pipeline(config) if not _name(s).startswith("Load")]
        loading = test_pipeline(config)[0]
        if _name(loading) != "LoadImageFromFile":
            raise DetectorLoadError(
                f"The model's test pipeline begins with {_name(loading)}, not with a picture.",
                "Only models that take one picture at a time can be served.",
            )
        if any(_name(step) == "LoadProposals" for step in test_pipeline(config)):
            raise DetectorLoadError(
                "The model looks at regions that another model proposed, and a job has none.",
                "Serve one that proposes its own, such as Faster R-CNN.",
            )
        self.plan = _plan(loading, steps)
        if self.plan:
            self._transforms = Compose(steps[1:])
        else:
            self._transforms = Compose([{**loading, "type": "mmdet.LoadImageFromNDArray"}, *steps])

    def pack(self, image: ModelImage) -> dict[str, Any]:
        """One picture as mmdet's `inputs` (uint8, channels first) and `data_samples`."""
        # torch shares memory with the array, and warns of one that it may not write to.
        results: dict[str, Any] = {"img": np.require(image.pixels, requirements=["C", "W"])}
        if self.plan:
            results |= _resized(image, self.plan)
        packed: dict[str, Any] = self._transforms(results)
        return packed


def _name(step: Step) -> str:
    kind = step["type"]
    return kind.rpartition(".")[2] if isinstance(kind, str) else str(kind.__name__)


def _plan(loading: Step, steps: list[Step]) -> ResizePlan | None:
    names = [_name(step) for step in steps]
    if names not in (["Resize", "PackDetInputs"], ["Resize", "Pad", "PackDetInputs"]):
        return None
    if loading.get("to_float32"):  # floats resize to other numbers
        return None
    resize = steps[0]
    if resize.get("backend", "cv2") != "cv2" or resize.get("scale") is None:
        return None
    interpolation = resize.get("interpolation", "bilinear")
    if interpolation not in INTERPOLATIONS:
        return None
    scale = resize["scale"]
    width, height = (scale, scale) if isinstance(scale, int) else scale
    return ResizePlan(width, height, bool(resize.get("keep_ratio", False)), interpolation)


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
