"""A `test_cfg` by which a model fails or finds nothing is refused before the model serves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from boxyard_worker.detector import DetectorLoadError, load_detector, mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.configuration import hash_config, read_config
from boxyard_worker.detector.postprocessing import try_steps

DEMO = find_model("rtmdet-ins_demo")


@pytest.fixture(autouse=True)
def _scope() -> None:
    mmdetection.init_default_scope("mmdet")


def change(tmp_path: Path, option: str) -> Path:
    """Writes the demo model's configuration with another value of an option."""
    name = option.partition("=")[0]
    text, times = re.subn(rf"\b{name}=(dict\(.*?\)|[\d.]+)", option, DEMO.config.read_text())
    assert times == 1
    (tmp_path / "own.py").write_text(text)
    return tmp_path / "own.py"


@pytest.mark.parametrize(
    "option",
    [
        *("score_thr=1.5", "score_thr=1", "score_thr='0.1'", "score_thr=float('nan')"),
        *("max_per_img=0", "max_per_img=100.0", "max_per_img='100'", "max_per_img=-2"),
        *("max_per_img=True", "max_per_img=[100]", "nms_pre=0", "nms_pre='1000'", "nms_pre=1e3"),
        *("mask_thr_binary=1.5", "mask_thr_binary=1", "mask_thr_binary='0.5'"),
        *("mask_thr_binary=None", "min_bbox_size=1e9", "min_bbox_size='0'"),
        "nms=dict(type='nms', iou_threshold=0.6, max_num=0)",
    ],
)
def test_an_option_that_fails_or_finds_nothing_is_named(tmp_path: Path, option: str) -> None:
    with pytest.raises(DetectorLoadError, match="nothing would ever be found") as caught:
        read_config(change(tmp_path, option))
    assert option.partition("=")[0] in caught.value.message or "max_num=0" in caught.value.message


@pytest.mark.parametrize(
    "option", ["max_per_img=None", "max_per_img=-1", "min_bbox_size=-1", "score_thr=-1"]
)
def test_a_value_that_means_no_limit_is_accepted(tmp_path: Path, option: str) -> None:
    load_detector("own", config=change(tmp_path, option), weights=DEMO.weights)


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("nms=dict(type='nmss', iou_threshold=0.6)", "'nmss' is not defined"),
        ("nms=dict(type='nms')", "missing 1 required positional argument: 'iou_threshold'"),
        ("nms=dict(type='nms', iou_threshold=0.6, sigma=1)", "sigma"),
        ("nms=dict(type='soft_nms', iou_threshold=None)", "NoneType|float"),
    ],
)
def test_a_model_that_fails_as_soon_as_it_finds_something_is_refused(
    tmp_path: Path, option: str, fault: str
) -> None:
    with pytest.raises(DetectorLoadError, match=f"as soon as it finds something.*({fault})") as it:
        load_detector("own", config=change(tmp_path, option), weights=DEMO.weights)
    assert "test_cfg" in it.value.hint


class Head:
    """Stands for a model, of which it is the only part with options."""

    def __init__(self, test_cfg: Any) -> None:
        self.test_cfg = test_cfg

    def modules(self) -> list[Head]:
        return [self]


def test_thresholds_and_counts_are_as_before_after_the_trial() -> None:
    options = read_config(find_model("mask-rcnn_r50_fpn_1x_coco").config)
    before = hash_config(options)
    rcnn = options.model.test_cfg.rcnn
    seen = []

    def detect() -> None:
        seen.append((rcnn.score_thr, rcnn.max_per_img, options.model.test_cfg.rpn.nms_pre))
        raise ValueError("a step")

    with pytest.raises(DetectorLoadError, match="ValueError: a step"):
        try_steps("own", Head(options.model.test_cfg), detect)
    # Counts that are lowered may not fit each other: those of the configuration are tried too.
    assert seen == [(0.0, 20, 20), (0.0, 100, 1000)]
    assert hash_config(options) == before
    assert rcnn.score_thr == 0.05
