"""The plan is the model's own resize; what is no plain resize runs whole in the child."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boxyard_worker.detector import DetectorLoadError, load_detector, mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.configuration import read_config
from boxyard_worker.detector.contract import ModelImage, ResizePlan
from boxyard_worker.detector.pipeline import Pipeline
from boxyard_worker.detector.resize import resize


@pytest.mark.parametrize(
    ("model", "plan"),
    [
        ("vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco", ResizePlan(1333, 800)),
        ("rtmdet-ins_tiny_8xb32-300e_coco", ResizePlan(640, 640)),
        ("ssd300_coco", ResizePlan(300, 300, keep_ratio=False)),
        ("boxinst_r50_fpn_ms-90k_coco", None),  # resized by Pillow
        ("cornernet_hourglass104_10xb5-crop511-210e-mstest_coco", None),  # padded otherwise
    ],
)
def test_the_plan_is_the_models_own_resize(model: str, plan: ResizePlan | None) -> None:
    mmdetection.init_default_scope("mmdet")
    assert Pipeline(read_config(find_model(model).config)).plan == plan


@pytest.mark.parametrize(("width", "height"), [(641, 479), (33, 500), (7, 3)])
def test_plan_and_rest_give_what_the_whole_pipeline_gives(
    width: int, height: int, paint: Any
) -> None:
    from mmcv.transforms import Compose

    mmdetection.init_default_scope("mmdet")
    config = read_config(find_model("rtmdet-ins_tiny_8xb32-300e_coco").config)
    pipeline = Pipeline(config)
    pixels = paint(width, height)
    assert pipeline.plan
    image = ModelImage(resize(pixels, pipeline.plan), width, height, 0.0, 100, True)
    ours = pipeline.pack(image)
    steps = [dict(step) for step in config.test_dataloader.dataset.pipeline]
    steps[0] = {"type": "mmdet.LoadImageFromNDArray"}
    theirs = Compose(steps)({"img": pixels})
    assert ours["inputs"].equal(theirs["inputs"])
    for key in ("ori_shape", "img_shape", "scale_factor"):
        assert ours["data_samples"].metainfo[key] == theirs["data_samples"].metainfo[key]


def test_pictures_share_a_group_exactly_when_their_padded_shapes_are_equal(
    wrap: Any, shrink: Any, tmp_path: Any
) -> None:
    name = "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"
    detector = load_detector(name, random_weights=True, config=shrink(name, 160, tmp_path))

    def group(width: int, height: int) -> object:
        return detector.group(wrap(detector, np.zeros((height, width, 3), np.uint8)))

    assert group(320, 240) == (128, 160)  # 120 rows, padded to a multiple of 32
    assert group(320, 240) == group(640, 500)
    assert group(320, 240) != group(240, 320)
    assert group(320, 240) != group(320, 300)


def test_read_only_pixels_are_packed_too(paint: Any) -> None:
    mmdetection.init_default_scope("mmdet")
    pipeline = Pipeline(read_config(find_model("vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco").config))
    pixels = paint(64, 48)
    pixels.flags.writeable = False
    packed = pipeline.pack(ModelImage(pixels, 64, 48, 0.0, 100, True))
    assert packed["inputs"].shape == (3, 48, 64)


def test_a_model_that_needs_another_models_proposals_is_refused() -> None:
    mmdetection.init_default_scope("mmdet")
    config = read_config(find_model("cascade-rpn_fast-rcnn_r50-caffe_fpn_1x_coco").config)
    with pytest.raises(DetectorLoadError, match="regions that another model proposed"):
        Pipeline(config)
