"""Every option of a test pipeline gives mmdet's own numbers, or is refused by its name."""

from __future__ import annotations

import inspect
import io
import re
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from boxyard_worker.detector import DetectorLoadError, mmdetection
from boxyard_worker.detector.contract import ModelImage
from boxyard_worker.detector.pipeline import Pipeline
from boxyard_worker.detector.resize import resize
from boxyard_worker.detector.transforms import _SERVED

KEYS = ("ori_shape", "img_shape", "scale_factor")
LOAD = {"type": "LoadImageFromFile"}
RESIZE = {"type": "Resize", "scale": (96, 64), "keep_ratio": True}
PAD = {"type": "Pad", "size": (96, 96)}
PACK = {"type": "PackDetInputs", "meta_keys": KEYS}
IMAGE_NET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}


@pytest.fixture(autouse=True)
def _scope() -> None:
    mmdetection.init_default_scope("mmdet")


def configure(*steps: dict[str, Any]) -> Config:
    return Config({"test_dataloader": {"dataset": {"pipeline": list(steps)}}})


def as_mmcv_wants(value: Any) -> Any:
    """With tuples for lists, and a share for a whole number, as JSON may have them."""
    if isinstance(value, dict):
        return {
            name: float(each) if name == "prob" else as_mmcv_wants(each)
            for name, each in value.items()
        }
    return tuple(value) if isinstance(value, list) else value


SERVED = {
    "plain": [LOAD, RESIZE, PACK],
    "composed": [
        {"type": "Compose", "transforms": [LOAD, {"type": "mmcv.Compose", "transforms": RESIZE}]},
        PACK,
    ],
    "floats": [{**LOAD, "to_float32": True}, RESIZE, PACK],
    "Pillow reads": [{**LOAD, "imdecode_backend": "pillow"}, RESIZE, PACK],
    "mmcv's own reader": [{**LOAD, "imdecode_backend": None, "color_type": "color"}, RESIZE, PACK],
    "from elsewhere": [{**LOAD, "backend_args": {"backend": "local"}}, RESIZE, PACK],
    "by a client": [{**LOAD, "file_client_args": {"backend": "disk"}}, RESIZE, PACK],
    "Pillow resizes": [LOAD, {**RESIZE, "backend": "pillow"}, PACK],
    "stretched": [LOAD, {**RESIZE, "keep_ratio": False}, PACK],
    "one number": [LOAD, {"type": "Resize", "scale": 80}, PACK],
    "a list": [LOAD, {**RESIZE, "scale": [96, 64]}, PACK],
    "by a factor": [LOAD, {"type": "Resize", "scale_factor": 0.5, "keep_ratio": True}, PACK],
    "by two factors": [LOAD, {"type": "Resize", "scale_factor": (0.5, 0.75)}, PACK],
    "by a whole factor": [LOAD, {"type": "Resize", "scale_factor": 2.0}, PACK],
    "scale goes first": [LOAD, {**RESIZE, "scale_factor": 3.0}, PACK],
    "a side without bound": [LOAD, {**RESIZE, "scale": (4096, 64)}, PACK],
    "bicubic": [LOAD, {**RESIZE, "interpolation": "bicubic"}, PACK],
    "nearest": [LOAD, {**RESIZE, "interpolation": "nearest"}, PACK],
    "lanczos by Pillow": [
        LOAD,
        {**RESIZE, "interpolation": "lanczos", "backend": "pillow"},
        PACK,
    ],
    "padded": [
        LOAD,
        RESIZE,
        {"type": "Pad", "size": (96, 96), "pad_val": {"img": (1, 2, 3)}},
        PACK,
    ],
    "padded by lists": [
        LOAD,
        RESIZE,
        {"type": "Pad", "size": [96, 96], "pad_val": {"img": [1, 2, 3]}},
        PACK,
    ],
    "padded by fractions": [
        LOAD,
        RESIZE,
        {"type": "Pad", "pad_to_square": True, "pad_val": {"img": (114.0, 114.0, 114.0)}},
        PACK,
    ],
    "never flipped by a whole number": [LOAD, RESIZE, {"type": "RandomFlip", "prob": 0}, PACK],
    "padded to a multiple": [LOAD, RESIZE, {"type": "Pad", "size_divisor": 32}, PACK],
    "padded to a square": [LOAD, RESIZE, {"type": "Pad", "pad_to_square": True}, PACK],
    "mirrored at its edges": [
        LOAD,
        RESIZE,
        {"type": "Pad", "size": (96, 96), "padding_mode": "reflect"},
        PACK,
    ],
    "normalised": [LOAD, RESIZE, {"type": "Normalize", **IMAGE_NET}, PACK],
    "normalised first": [LOAD, {"type": "Normalize", **IMAGE_NET}, RESIZE, PACK],
    "never flipped": [LOAD, RESIZE, {"type": "RandomFlip", "prob": 0.0}, PACK],
    "by the scale's own order": [LOAD, {**RESIZE, "type": "FixScaleResize"}, PACK],
    "to a fixed shape": [
        LOAD,
        {"type": "FixShapeResize", "width": 96, "height": 96, "keep_ratio": True},
        PACK,
    ],
    "by the shorter side": [
        LOAD,
        {"type": "ResizeShortestEdge", "scale": 64},
        PACK,
    ],
    "annotations too": [LOAD, {"type": "LoadAnnotations", "with_mask": True}, RESIZE, PACK],
}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("name", SERVED)
def test_a_served_pipeline_gives_what_mmdets_own_gives(
    name: str, suffix: str, paint: Any, tmp_path: Path
) -> None:
    from mmcv.transforms import Compose

    steps = SERVED[name]
    file = tmp_path / f"image{suffix}"
    cv2.imwrite(str(file), paint(161, 119))
    own = [as_mmcv_wants(step) for step in steps if step["type"] != "LoadAnnotations"]
    theirs = Compose(own)({"img_path": str(file)})
    pipeline = Pipeline(configure(*steps))
    pixels = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    pixels = resize(pixels, pipeline.plan) if pipeline.plan else pixels
    ours = pipeline.pack(ModelImage(pixels, 161, 119, 0.0, 1, False))
    assert ours["inputs"].dtype == theirs["inputs"].dtype
    assert ours["inputs"].equal(theirs["inputs"])
    for key in KEYS:
        assert ours["data_samples"].metainfo[key] == theirs["data_samples"].metainfo[key]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *product(["JPEG", "PNG", "WEBP", "BMP", "TIFF"], ["RGB", "L", "1"]),
        *product(["PNG", "WEBP", "BMP", "TIFF"], ["RGBA", "P"]),
    ],
)
def test_pillow_reads_the_pixels_that_opencv_reads(mode: str, kind: str, paint: Any) -> None:
    image = Image.fromarray(paint(161, 119)[..., ::-1]).convert(mode)
    file = io.BytesIO()
    image.save(file, kind)
    ours, theirs = (mmcv.imfrombytes(file.getvalue(), backend=b) for b in ("cv2", "pillow"))
    np.testing.assert_array_equal(ours, theirs)


REFUSED = {
    "color_type='unchanged'": [{**LOAD, "color_type": "unchanged"}, RESIZE, PACK],
    "color_type='grayscale'": [{**LOAD, "color_type": "grayscale"}, RESIZE, PACK],
    "ignore_orientation": [{**LOAD, "color_type": "color_ignore_orientation"}, RESIZE, PACK],
    "imdecode_backend='turbojpeg'": [{**LOAD, "imdecode_backend": "turbojpeg"}, RESIZE, PACK],
    "imdecode_backend='tifffile'": [{**LOAD, "imdecode_backend": "tifffile"}, RESIZE, PACK],
    "option colour_type": [{**LOAD, "colour_type": "color"}, RESIZE, PACK],
    "to_float32=1": [{**LOAD, "to_float32": 1}, RESIZE, PACK],
    "mmdet 3 calls it scale": [LOAD, {"type": "Resize", "img_scale": (96, 64)}, PACK],
    "mmdet 3 calls it prob": [LOAD, RESIZE, {"type": "RandomFlip", "flip_ratio": 0.5}, PACK],
    "option multiscale_mode": [LOAD, {**RESIZE, "multiscale_mode": "value"}, PACK],
    "option keep_ration": [LOAD, {"type": "Resize", "scale": 96, "keep_ration": True}, PACK],
    r"scale=\(256, -1\)": [LOAD, {**RESIZE, "scale": (256, -1)}, PACK],
    r"scale=\(-1, 256\)": [LOAD, {**RESIZE, "scale": (-1, 256)}, PACK],
    r"scale=\(0, 0\)": [LOAD, {**RESIZE, "scale": (0, 0)}, PACK],
    "scale=-640": [LOAD, {**RESIZE, "scale": -640}, PACK],
    r"scale=\(640,\)": [LOAD, {**RESIZE, "scale": (640,)}, PACK],
    r"scale=\[\(1333, 640\)": [LOAD, {**RESIZE, "scale": [(1333, 640), (1333, 800)]}, PACK],
    r"scale=\('640', '640'\)": [LOAD, {**RESIZE, "scale": ("640", "640")}, PACK],
    r"scale=\(None, 640\)": [LOAD, {**RESIZE, "scale": (None, 640)}, PACK],
    "scale=True": [LOAD, {**RESIZE, "scale": True}, PACK],
    "scale=1000000": [LOAD, {**RESIZE, "scale": 1_000_000}, PACK],
    "scale_factor=0": [LOAD, {"type": "Resize", "scale_factor": 0}, PACK],
    "scale_factor=-0.5": [LOAD, {"type": "Resize", "scale_factor": -0.5}, PACK],
    "scale_factor=1000.0": [LOAD, {"type": "Resize", "scale_factor": 1000.0}, PACK],
    "lacks the option scale": [LOAD, {"type": "Resize", "scale": None}, PACK],
    "leaves 1x1 pixels": [LOAD, {**RESIZE, "scale": (256, 1)}, PACK],
    "leaves 4x3 pixels": [LOAD, {**RESIZE, "scale": 4}, PACK],
    "leaves 6x5 pixels": [LOAD, {"type": "Resize", "scale_factor": 0.01}, PACK],
    "interpolation='cubic'": [LOAD, {**RESIZE, "interpolation": "cubic"}, PACK],
    "backend='skimage'": [LOAD, {**RESIZE, "backend": "skimage"}, PACK],
    "prob=0.5": [LOAD, RESIZE, {"type": "RandomFlip", "prob": 0.5}, PACK],
    "prob=1.0": [LOAD, RESIZE, {"type": "RandomFlip", "prob": 1.0}, PACK],
    "lacks the option prob": [LOAD, RESIZE, {"type": "RandomFlip"}, PACK],
    "width=0": [LOAD, {"type": "FixShapeResize", "width": 0, "height": 96}, PACK],
    r"size=\(-1, 96\)": [LOAD, RESIZE, {"type": "Pad", "size": (-1, 96)}, PACK],
    "size_divisor=0": [LOAD, RESIZE, {"type": "Pad", "size_divisor": 0}, PACK],
    "Pad.* lacks the option size or": [LOAD, RESIZE, {"type": "Pad"}, PACK],
    "Pad.* cannot be made": [LOAD, RESIZE, {**PAD, "size_divisor": 32}, PACK],
    r"size=96.* a width and a height": [LOAD, RESIZE, {"type": "Pad", "size": 96}, PACK],
    "pad_val=114.0": [LOAD, RESIZE, {**PAD, "pad_val": 114.0}, PACK],
    "pad_val=nan": [LOAD, RESIZE, {**PAD, "pad_val": float("nan")}, PACK],
    r"pad_val={'img': \(1, 2\)}": [LOAD, RESIZE, {**PAD, "pad_val": {"img": (1, 2)}}, PACK],
    "padding_mode='wrap'": [LOAD, RESIZE, {**PAD, "padding_mode": "wrap"}, PACK],
    "'box', which the backend cv2": [LOAD, {**RESIZE, "interpolation": "box"}, PACK],
    "'area', which the backend pillow": [
        LOAD,
        {**RESIZE, "interpolation": "area", "backend": "pillow"},
        PACK,
    ],
    r"meta_keys=\[\['a'\]\]": [LOAD, RESIZE, {**PACK, "meta_keys": [["a"]]}],
    "`type`, by name or class: {'type': 5}": [LOAD, {"type": 5}, PACK],
    "by name or class: {'type': <built-in": [LOAD, {"type": print}, PACK],
    "not finite": [LOAD, RESIZE, {"type": "Normalize", "mean": [0] * 3, "std": [0] * 3}, PACK],
    "meta_keys=.*scale_factor": [LOAD, RESIZE, {**PACK, "meta_keys": ("img_shape",)}],
    "must end with PackDetInputs": [LOAD, RESIZE],
    "step CenterCrop": [LOAD, {"type": "CenterCrop", "crop_size": 64}, PACK],
    "step RandomCrop": [LOAD, {"type": "RandomCrop", "crop_size": (64, 64)}, PACK],
    "step RandomResize": [LOAD, {"type": "RandomResize", "scale": (96, 64)}, PACK],
    "step PhotoMetricDistortion": [LOAD, RESIZE, {"type": "PhotoMetricDistortion"}, PACK],
    "test_mode=False": [LOAD, {"type": "RandomCenterCropPad", "test_mode": False}, PACK],
    "Test-time augmentation": [LOAD, {"type": "TestTimeAug", "transforms": [[RESIZE], [PACK]]}],
    "step MultiScaleFlipAug": [LOAD, {"type": "MultiScaleFlipAug", "img_scale": (96, 64)}],
    "step Collect": [LOAD, RESIZE, {"type": "Collect", "keys": ["img"]}],
    "step DefaultFormatBundle": [LOAD, RESIZE, {"type": "DefaultFormatBundle"}],
    "no such transform": [LOAD, {"type": "Resise", "scale": 96}, PACK],
    "begins with Resize": [RESIZE, PACK],
    "LoadMultiChannelImageFromFiles": [{"type": "LoadMultiChannelImageFromFiles"}, RESIZE, PACK],
    "nothing but annotations": [{"type": "LoadAnnotations"}],
    "step of the test pipeline has no `type`": [LOAD, {"scale": 96}, PACK],
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_not_served_is_refused_by_name(fault: str) -> None:
    with pytest.raises(DetectorLoadError) as caught:
        Pipeline(configure(*REFUSED[fault]))
    assert re.search(fault, str(caught.value)), caught.value
    assert caught.value.hint


@pytest.mark.parametrize("name", [name for name in _SERVED if name != "ResizeShortestEdge"])
def test_every_option_of_a_served_transform_is_declared(name: str) -> None:
    """An option that a new mmcv or mmdet adds must be declared before it can be used."""
    taken: set[str] = set()
    for kind in mmdetection.mmdet.registry.TRANSFORMS.get(name).__mro__:
        if "__init__" in vars(kind) and kind is not object:
            parameters = inspect.signature(kind.__init__).parameters.values()
            taken = {p.name for p in parameters if p.kind is not p.VAR_POSITIONAL} - {"self"}
            break
    assert taken - {"kwargs"} <= set(_SERVED[name])
