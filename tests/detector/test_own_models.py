"""An operator's own model: its configuration, its weights, and what it calls things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boxyard_worker.detector import DetectorLoadError, load_detector, mmdetection
from boxyard_worker.detector.catalogue import ModelFiles, find_model
from boxyard_worker.detector.configuration import read_config
from boxyard_worker.detector.labels import check_labels, read_labels


@pytest.fixture(scope="module")
def demo() -> ModelFiles:
    return find_model("rtmdet-ins_demo")


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    return tmp_path / "names.txt"


def test_class_names_from_a_file_are_what_is_answered(tmp_path: Path, demo: ModelFiles) -> None:
    classes = write(tmp_path, "crate\r\nbottle, big\ngläsern\n  tin \n\n")
    own = load_detector("ours", config=demo.config, weights=demo.weights, classes=classes)
    assert own.describe().model == "ours"
    assert own.describe().classes == ("crate", "bottle, big", "gläsern", "tin")


def test_as_many_class_names_as_the_head_has_labels_and_no_others(
    tmp_path: Path, demo: ModelFiles
) -> None:
    for text in ("one\ntwo\nthree", "one\ntwo\nthree\nfour\nfive"):
        with pytest.raises(DetectorLoadError, match="The model tells 4 classes apart"):
            load_detector(
                "ours",
                config=demo.config,
                weights=demo.weights,
                classes=write(tmp_path, text),
            )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("one\n\nthree", "Line 2 .* is empty"),
        ("one\ntwo\none", "Line 3 .* repeats 'one'"),
        ("", "1"),
    ],
    ids=["a gap", "twice", "none"],
)
def test_class_names_that_are_no_list_are_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DetectorLoadError, match=why):
        read_labels(write(tmp_path, text))


def test_a_file_of_class_names_must_be_text_and_be_there(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"caf\xe9\n")
    for name in ("names.txt", "absent.txt"):
        with pytest.raises(DetectorLoadError, match="cannot be read"):
            read_labels(tmp_path / name)


HEADS = {
    "vfnet_r50_fpn_1x_coco": [80],
    "cascade-mask-rcnn_r50_fpn_1x_coco": [80],
    "solov2_r50_fpn_1x_coco": [80],
    "mask2former_r50_8xb2-lsj-50e_coco-panoptic": [80, 133],
    "cornernet_hourglass104_8xb6-210e-mstest_coco": [80],
    "mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1": [1203],
}


@pytest.mark.parametrize("name", HEADS)
def test_every_kind_of_head_says_how_many_labels_it_has(name: str) -> None:
    import torch

    mmdetection.init_default_scope("mmdet")
    with torch.device("meta"):
        model: Any = mmdetection.MODELS.build(read_config(find_model(name).config).model)
    for count in HEADS[name]:
        check_labels(model, tuple(map(str, range(count))))
        with pytest.raises(DetectorLoadError, match=f"{count + 1} class names are given"):
            check_labels(model, tuple(map(str, range(count + 1))))
