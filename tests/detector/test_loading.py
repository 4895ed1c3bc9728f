"""Loading says what was loaded, and what to do when a model cannot serve."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxyard_schemas.installation import install_command
from boxyard_worker.detector import DetectorLoadError, load_detector
from boxyard_worker.detector.contract import ResizePlan

CARDS = [
    "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco",
    "deformable-detr-refine-twostage_r50_16xb2-50e_coco",
    "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco",
    "rtmdet-ins_x_8xb16-300e_coco",
]
TINY = "rtmdet-ins_tiny_8xb32-300e_coco"


@pytest.mark.parametrize("card", CARDS)
def test_every_card_model_answers_with_random_weights(
    card: str, shrink: Any, wrap: Any, paint: Any, tmp_path: Path
) -> None:
    masks = card.startswith("rtmdet-ins")
    detector = load_detector(card, random_weights=True, config=shrink(card, 160, tmp_path))
    description = detector.describe()
    assert description.model == card
    assert description.masks is masks
    assert description.classes[:2] == ("person", "bicycle")
    assert len(description.classes) == 80
    assert description.weights_sha256 == ""
    image = wrap(detector, paint(80, 60))
    (found,) = detector.detect([image])
    assert len(found.boxes) == len(found.scores) == len(found.labels) <= 300
    assert np.isfinite(found.boxes).all()
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.labels.tolist()) <= set(range(80))
    assert (found.masks is not None) is masks


def test_the_same_random_weights_come_every_time(wrap: Any, paint: Any) -> None:
    first, second = (load_detector("rtmdet-ins_demo", random_weights=True) for _ in range(2))
    image = wrap(first, paint(80, 60))
    assert first.detect([image])[0].boxes.tolist() == second.detect([image])[0].boxes.tolist()
    assert first.describe() == second.describe()
    assert first.describe().plan == ResizePlan(256, 256)


def test_a_model_without_weights_says_how_to_pull_them() -> None:
    with pytest.raises(DetectorLoadError, match="No weights of") as caught:
        load_detector(TINY)
    assert f"boxyard models pull {TINY}" in caught.value.hint
    assert "--weights random" in caught.value.hint


def test_an_unknown_name_gets_its_nearest_neighbours() -> None:
    with pytest.raises(DetectorLoadError, match="Did you mean rtmdet-ins_tiny"):
        load_detector("rtmdet-ins_tiny_8xb32-300e_cocoo", random_weights=True)


def test_weights_of_another_model_are_refused(start_trial: Any) -> None:
    with pytest.raises(DetectorLoadError, match="are not this model's"):
        load_detector(TINY, weights=start_trial("rtmdet-ins_demo").weights)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(DetectorLoadError, match="cuda:99"):
        load_detector("rtmdet-ins_demo", random_weights=True, device="cuda:99")


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("model = dict(type='RTMDet')\n")
    with pytest.raises(DetectorLoadError, match=r"broken\.py cannot be read"):
        load_detector("broken", random_weights=True, config=tmp_path / "broken.py")


def test_the_package_imports_without_torch_and_says_which_extra_it_lacks() -> None:
    program = """
import sys
from importlib.abc import MetaPathFinder
class Bare(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "mmdet", "mmcv", "mmengine"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Bare())
import boxyard_worker.detector.resize
from boxyard_worker.detector import DetectorLoadError, load_detector
try:
    load_detector("rtmdet-ins_demo")
except DetectorLoadError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert install_command("detect") in told.stdout


def test_nothing_is_fetched_while_a_model_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: tried.append(arguments))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: tried.append(arguments))
    load_detector(TINY, random_weights=True)  # its backbone asks for published weights
    assert tried == []


def test_a_distilled_models_teacher_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boxyard_worker.detector.catalogue import find_model
    from boxyard_worker.detector.configuration import read_config

    monkeypatch.chdir(tmp_path)
    model = read_config(find_model("ld_r18-gflv1-r101_fpn_1x_coco").config).model
    assert model.teacher_config.model.type == "GFL"
    assert model.teacher_ckpt is None
    assert model.teacher_config.model.backbone.init_cfg is None


def test_a_model_that_finds_no_single_objects_is_refused(tmp_path: Path) -> None:
    from mmengine.config import Config

    from boxyard_worker.detector.catalogue import find_model

    configs = find_model(TINY).config.parents[1]
    config = Config.fromfile(str(configs / "maskformer" / "maskformer_r50_ms-16xb1-75e_coco.py"))
    config.test_dataloader.dataset.pipeline[1].scale = (96, 96)
    config.dump(str(tmp_path / "own.py"))
    with pytest.raises(DetectorLoadError, match="finds no single objects"):
        load_detector("own", random_weights=True, config=tmp_path / "own.py")
