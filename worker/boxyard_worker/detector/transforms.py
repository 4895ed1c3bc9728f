"""What a test pipeline may hold: each transform of mmcv and mmdet that is served, each option.

A transform or option that is not declared here is refused by its name, so none can be dropped
without notice. A transform of the operator's own code runs as it is.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, NamedTuple

from mmcv.image.geometric import cv2_interp_codes, pillow_interp_codes
from mmdet.registry import TRANSFORMS

from boxyard_worker.detector.data_sets import type_name
from boxyard_worker.detector.errors import DetectorLoadError

Step = dict[str, Any]

_MOST_PIXELS: Final = 16384
"""Of a side: models see a few thousand, and memory is taken for every one."""
_MOST_TIMES: Final = 16
"""That an image may be enlarged."""


class Rule(NamedTuple):
    """Which values of an option are served.

    Attributes:
        accepts: whether a value is.
        wanted: what to write instead of one that is not.
    """

    accepts: Callable[[Any], bool]
    wanted: str = ""


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most


def _fits(value: object, most: float) -> bool:
    if isinstance(value, list | tuple):
        return len(value) == 2 and all(_is_number(each, most) for each in value)
    return value is None or _is_number(value, most)


def _one_of(*values: object) -> Rule:
    # A flag is no number here, though Python takes False for 0.
    return Rule(
        lambda value: any(value == each and type(value) is type(each) for each in values),
        " or ".join(map(repr, values)),
    )


def _is_filling(value: object) -> bool:
    """Whether mmcv can fill with it: a whole number, or for each kind of data a number or three."""
    if not isinstance(value, dict):
        return type(value) is int
    colour = value.get("img", 0)
    channels = colour if isinstance(colour, list | tuple) else (colour,) * 3
    return len(channels) == 3 and all(
        isinstance(each, int | float) and math.isfinite(each) for each in channels
    )


def _is_packed(keys: Any) -> bool:
    needed = {"ori_shape", "img_shape"}
    return (
        isinstance(keys, list | tuple)
        and all(isinstance(key, str) for key in keys)
        and needed <= set(keys)
        and bool({"scale_factor", "border"} & set(keys))
    )


_ANY: Final = Rule(lambda _: True)
_SIZE: Final = Rule(
    lambda value: _fits(value, _MOST_PIXELS),
    f"one or two numbers of pixels, from 1 to {_MOST_PIXELS}",
)
_FACTOR: Final = Rule(
    lambda value: _fits(value, _MOST_TIMES), f"one or two numbers above 0, up to {_MOST_TIMES}"
)
_FILLING: Final = Rule(_is_filling, "a whole number, or dict(img=(114, 114, 114))")
_RESIZE: Final = {
    "scale": _SIZE,
    "scale_factor": _FACTOR,
    "keep_ratio": _one_of(True, False),
    "clip_object_border": _ANY,
    "backend": _one_of("cv2", "pillow"),
    "interpolation": _one_of("nearest", "bilinear", "bicubic", "area", "lanczos", "box", "hamming"),
}

_SERVED: Final[Mapping[str, Mapping[str, Rule]]] = {
    "LoadImageFromFile": {
        "to_float32": _one_of(True, False),
        "color_type": _one_of("color"),
        # Pillow gives the pixels that OpenCV gives, but for CMYK JPEGs (by one step of 255), for
        # 16-bit greys, which it cuts off, and for transparent greys.
        "imdecode_backend": _one_of("cv2", "pillow", None),
        # Where training data lies, and whether a file of it may lack: no pixel depends on these.
        "file_client_args": _ANY,
        "backend_args": _ANY,
        "ignore_empty": _ANY,
    },
    "Resize": _RESIZE,
    "FixScaleResize": _RESIZE,
    "FixShapeResize": {
        **{name: rule for name, rule in _RESIZE.items() if not name.startswith("scale")},
        "width": _SIZE,
        "height": _SIZE,
        "pad_val": _FILLING,
    },
    "ResizeShortestEdge": {**_RESIZE, "max_size": _SIZE, "resize_type": _one_of("Resize")},
    "Pad": {
        "size": Rule(
            lambda value: (
                value is None or (isinstance(value, list | tuple) and _fits(value, _MOST_PIXELS))
            ),
            "a width and a height in pixels, such as (640, 640)",
        ),
        "size_divisor": _SIZE,
        "pad_to_square": _one_of(True, False),
        "pad_val": _FILLING,
        "padding_mode": _one_of("constant", "edge", "reflect", "symmetric"),
    },
    "Normalize": {"mean": _ANY, "std": _ANY, "to_rgb": _one_of(True, False)},
    "RandomFlip": {
        "prob": _one_of(0, 0.0),
        "direction": _ANY,
        "swap_seg_labels": _ANY,
    },
    "RandomCenterCropPad": {
        "test_mode": _one_of(True),
        **dict.fromkeys(
            (
                "crop_size",
                "ratios",
                "border",
                "mean",
                "std",
                "to_rgb",
                "test_pad_mode",
                "test_pad_add_pix",
                "bbox_clip_border",
            ),
            _ANY,
        ),
    },
    "PackDetInputs": {
        "meta_keys": Rule(_is_packed, "at least ('ori_shape', 'img_shape', 'scale_factor')")
    },
}

_NEEDED: Final = {
    "Resize": ("scale", "scale_factor"),
    "FixScaleResize": ("scale", "scale_factor"),
    "FixShapeResize": ("width",),
    "Pad": ("size", "size_divisor", "pad_to_square"),
    "RandomFlip": ("prob",),
    "RandomCenterCropPad": ("test_mode",),
}
"""Of these options one must be given, and not as None."""

_ANNOTATIONS: Final = (
    "LoadAnnotations",
    "LoadPanopticAnnotations",
    "LoadEmptyAnnotations",
    "LoadTrackAnnotations",
)
"""They read what is to be found in an image; detection takes nothing of it."""

_RENAMED: Final = {"img_scale": "scale", "flip_ratio": "prob"}
"""mmdet 2's option → mmdet 3's."""

_INSTEAD: Final = {
    "MultiScaleFlipAug": "It is mmdet 2's, or for test-time augmentation: put the steps of its"
    " `transforms` in its place, with Resize(scale=…) at its one scale.",
    "TestTimeAug": "Test-time augmentation is not served: put the steps for one scale, without"
    " flips, in its place.",
    "LoadProposals": "The model looks at regions that another model proposed, and a job has none:"
    " serve a model that proposes its own regions, such as Faster R-CNN.",
    **dict.fromkeys(
        ("DefaultFormatBundle", "Collect", "ImageToTensor"),
        "It is mmdet 2's: end the pipeline with PackDetInputs instead.",
    ),
}


def check_steps(steps: list[Step]) -> list[Step]:
    """The steps that decide what a model sees, with values as mmcv wants them.

    Raises:
        DetectorLoadError: names the transform or the option that is not served.
    """
    kept = [step for step in steps if not _is_of(step, _ANNOTATIONS)]
    for step in kept:
        _check_step(step)
    if not kept or not _is_of(kept[0], ("LoadImageFromFile",)):
        begin = type_name(kept[0]["type"]) if kept else "nothing but annotations"
        raise DetectorLoadError(
            f"The model's test pipeline begins with {begin}, not with an image.",
            "Only models that take one image at a time can be served, by LoadImageFromFile.",
        )
    return [{name: _settle(name, value) for name, value in step.items()} for step in kept]


def _is_of(step: Step, names: Container[str]) -> bool:
    """Whether a step is one of these of mmcv or mmdet, and not one of the operator's own."""
    return type_name(step["type"]) in names and is_librarys(step["type"])


def _check_step(step: Step) -> None:
    name = type_name(step["type"])
    if name in _INSTEAD:
        raise DetectorLoadError(
            f"The test pipeline has the step {name}, which is not served.", _INSTEAD[name]
        )
    if not is_librarys(step["type"]):
        return
    if name not in _SERVED:
        raise DetectorLoadError(
            f"The test pipeline has the step {name}, which is not served.",
            "It is for training, or leaves no way back to the image's own coordinates. Served are "
            + ", ".join(_SERVED)
            + ", and transforms of your own.",
        )
    for option, value in step.items():
        if option not in ("type", "_scope_"):
            _check_option(name, option, value)
    _check_interpolation(name, step)
    needed = _NEEDED.get(name, ())
    if needed and all(step.get(option) is None for option in needed):
        raise DetectorLoadError(
            f"The step {name} of the test pipeline lacks the option {' or '.join(needed)}.",
            f"Give it: {_SERVED[name][needed[0]].wanted}.",
        )


def _check_interpolation(name: str, step: Step) -> None:
    backend, wanted = step.get("backend", "cv2"), step.get("interpolation", "bilinear")
    known = cv2_interp_codes if backend == "cv2" else pillow_interp_codes
    if "interpolation" in _SERVED[name] and wanted not in known:
        raise DetectorLoadError(
            f"The step {name} of the test pipeline has interpolation={wanted!r}, which the backend"
            f" {backend} has not.",
            f"With {backend}, write {' or '.join(map(repr, known))}.",
        )


def _check_option(name: str, option: str, value: Any) -> None:
    rule = _SERVED[name].get(option)
    if rule is None:
        instead = _RENAMED.get(option)
        raise DetectorLoadError(
            f"The step {name} of the test pipeline has the option {option}, which mmdet 3 does not"
            " know.",
            f"mmdet 3 calls it {instead}."
            if instead
            else f"{name} takes {', '.join(_SERVED[name])}.",
        )
    if not rule.accepts(value):
        raise DetectorLoadError(
            f"The step {name} of the test pipeline has {option}={value!r:.100}, which is not"
            " served.",
            f"Write {rule.wanted}; what was trained otherwise needs a training that fits.",
        )


def is_librarys(kind: Any) -> bool:
    """Whether a transform is mmcv's or mmdet's, and not the operator's own.

    Raises:
        DetectorLoadError: there is no such transform.
    """
    found = kind if inspect.isclass(kind) else TRANSFORMS.get(kind)
    if found is None:
        raise DetectorLoadError(
            f"The test pipeline has the step {kind}, and there is no such transform.",
            "Check its spelling. If it is your own, name its module in `custom_imports`, and put"
            " the folder that the module lies in on PYTHONPATH.",
        )
    return found.__module__.partition(".")[0] in ("mmcv", "mmdet")


def _settle(name: str, value: Any) -> Any:
    """JSON and YAML have no tuples, and mmcv takes no whole number for a factor or a share."""
    if isinstance(value, list) and name in ("scale", "scale_factor", "size"):
        return tuple(value)
    if isinstance(value, dict) and name == "pad_val":
        return {key: tuple(each) if isinstance(each, list) else each for key, each in value.items()}
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and name in ("scale_factor", "prob") else value
