"""Configurations of every form that mmengine reads, and what they say of test data and imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boxyard_worker.detector import DetectorLoadError, load_detector, mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.configuration import hash_config, read_config
from boxyard_worker.detector.data_sets import class_names
from boxyard_worker.detector.data_sets import test_pipeline as read_pipeline
from boxyard_worker.detector.pipeline import Pipeline

# mmengine leaves its copy of a file open where reading that fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RTMDET = "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"
OLD = f"_base_ = 'mmdet::{RTMDET}'\n"
PURE = """
from mmengine.config import read_base
with read_base():
    from mmdet.configs.rtmdet.rtmdet_ins_tiny_8xb32_300e_coco import *
from mmdet.datasets.transforms import PackDetInputs, Pad, Resize
from mmcv.transforms import LoadImageFromFile
model.update(dict(bbox_head=dict(num_classes=2)))
test_dataloader.dataset.update(dict(metainfo=dict(classes=("can", "carton")), pipeline=[
    dict(type=LoadImageFromFile),
    dict(type=Resize, scale=(96, 96), keep_ratio=True),
    dict(type=Pad, size=(96, 96)),
    dict(type=PackDetInputs, meta_keys=("ori_shape", "img_shape", "scale_factor"))]))
"""
DEMO = find_model("rtmdet-ins_demo").config.read_text()


@pytest.fixture(autouse=True)
def _scope() -> None:
    mmdetection.init_default_scope("mmdet")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration, `own.py` if it has no other name."""

    def write_text(text: str, name: str = "own.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_text


def test_a_base_in_mmdets_wheel_is_found_without_pkg_resources(write: Callable[..., Path]) -> None:
    assert read_config(write(OLD)).model.bbox_head.num_classes == 80
    own = OLD + "model = dict(bbox_head=dict(num_classes=3))\n"
    assert read_config(write(own)).model.bbox_head.num_classes == 3
    direct = read_config(find_model(RTMDET.split("/")[1].removesuffix(".py")).config)
    assert read_pipeline(read_config(write(OLD))) == read_pipeline(direct)


def test_a_base_of_the_pure_python_form_is_found_in_mmdets_wheel(
    write: Callable[..., Path],
) -> None:
    detector = load_detector("own", random_weights=True, config=write(PURE))
    assert detector.describe().classes == ("can", "carton")
    assert detector.describe().masks


def test_the_pure_python_form_takes_bases_beside_it_and_types_by_class(
    write: Callable[..., Path],
) -> None:
    types = "from mmdet.models import RTMDet, RTMDetInsSepBNHead\n"
    base = DEMO.replace('"RTMDet"', "RTMDet").replace('"RTMDetInsSepBNHead"', "RTMDetInsSepBNHead")
    write(types + base, "base.py")
    own = "from mmengine.config import read_base\nwith read_base():\n    from .base import *\n"
    pure, plain = read_config(write(own)), read_config(find_model("rtmdet-ins_demo").config)
    assert pure.model.type.__name__ == "RTMDet"
    assert class_names(pure) == class_names(plain)
    assert Pipeline(pure).plan == Pipeline(plain).plan
    weights = find_model("rtmdet-ins_demo").weights
    assert load_detector("own", weights=weights, config=write(own)).describe().masks


@pytest.mark.parametrize(
    "text",
    [
        "_base_ = 'mmdet::rtmdet/rtmdet-ins_tinny_8xb32-300e_coco.py'",
        "from mmengine.config import read_base\nwith read_base():\n"
        "    from mmdet.configs.rtmdet.rtmdet_ins_tinny_8xb32_300e_coco import *",
        "from mmengine.config import read_base\nwith read_base():\n    from .absent import *",
        "_base_ = 'mmyolo::yolov8/yolov8_s.py'",
        "_base_ = './absent.py'",
        "_base_ = ('./absent.py',)",
        "_base_ = ['mmyolo::yolov8/yolov8_s.py', './absent.py']",
    ],
)
def test_a_base_that_is_not_there_is_named(write: Callable[..., Path], text: str) -> None:
    with pytest.raises(DetectorLoadError, match=r"tinny|absent|mmyolo") as caught:
        read_config(write(text))
    assert "pkg_resources" not in str(caught.value)
    assert "pip install" not in str(caught.value)
    if "tinny" in text:
        assert "rtmdet" in caught.value.hint


WRAPPED = """
leaf = dict(type="CocoDataset", metainfo=metainfo, pipeline=test_pipeline)
other = dict(type="CocoDataset", metainfo=metainfo, pipeline=test_pipeline[:2])
"""


@pytest.mark.parametrize(
    "data_set",
    [
        "dict(type='ConcatDataset', datasets=[leaf, leaf])",
        "dict(type='RepeatDataset', times=2, dataset=leaf)",
        "dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=leaf)",
        "dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[leaf]))",
        "dict(type='MultiImageMixDataset', dataset=other, pipeline=test_pipeline[2:])",
    ],
)
def test_class_names_and_pipeline_are_those_of_a_wrapped_data_set(
    write: Callable[..., Path], data_set: str
) -> None:
    config = read_config(write(f"{DEMO}{WRAPPED}test_dataloader = dict(dataset={data_set})"))
    assert class_names(config) == ("carton", "milk_bottle", "can", "water_bottle")
    assert Pipeline(config).plan is not None


def test_joined_data_sets_that_differ_are_refused(write: Callable[..., Path]) -> None:
    both = "test_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[leaf, {}]))"
    with pytest.raises(DetectorLoadError, match="different pipelines"):
        read_config(write(DEMO + WRAPPED + both.format("other")))
    named = "dict(leaf, metainfo=dict(classes=('a', 'b')))"
    with pytest.raises(DetectorLoadError, match="different classes"):
        class_names(read_config(write(DEMO + WRAPPED + both.format(named))))


def test_an_import_of_local_code_is_never_answered_by_an_install_line(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "shelf.py").write_text("raise ImportError('tested')\n")
    own = write(DEMO + "custom_imports = dict(imports=['projects.shelf'])\n")
    with pytest.raises(DetectorLoadError, match="is not on the module path") as caught:
        read_config(own)
    assert f"PYTHONPATH={tmp_path}" in caught.value.hint
    elsewhere = write(DEMO + "custom_imports = dict(imports='shelf_models.heads')\n")
    with pytest.raises(DetectorLoadError, match="'shelf_models', which is missing") as caught:
        read_config(elsewhere)
    assert "pip install" not in str(caught.value)
    lenient = "custom_imports = dict(imports=['shelf_models'], allow_failed_imports=True)\n"
    assert read_config(write(DEMO + lenient))


def test_local_code_on_the_module_path_is_used(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "shelf.py").write_text(
        "from mmdet.registry import TRANSFORMS\nfrom mmcv.transforms import BaseTransform\n"
        "@TRANSFORMS.register_module()\nclass Darken(BaseTransform):\n"
        "    def transform(self, results):\n"
        "        results['img'] = results['img'] // 2\n        return results\n"
    )
    step = 'pipeline=[*test_pipeline[:1], dict(type="Darken"), *test_pipeline[1:]]'
    own = write(
        DEMO.replace("pipeline=test_pipeline", step)
        + "custom_imports = dict(imports=['projects.shelf'])\n"
    )
    program = (
        "from pathlib import Path\n"
        "from boxyard_worker.detector.mmdetection import *\n"
        f"init_default_scope('mmdet'); print(Pipeline(read_config(Path({str(own)!r}))).plan)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout == "None\n", told.stderr


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("model = dict(type='RTMDet'\n", "line 1 is not Python"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS pointer"),
        ("<!DOCTYPE html><html></html>", "an HTML page"),
        ("1 / 0\n", "running it raised ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", "running it ended Python"),
        ("_base_ = './own.py'\n", "contains itself"),
        ("_base_ = 5\n", "has the base 5"),
        ("\ufeffmodel = dict(type='RPN')\n", "begins with a byte order mark"),
        (DEMO + "custom_imports = 5\n", "has 5 in its `custom_imports`"),
        (DEMO + "custom_imports = dict(imports=['./shelf.py'])\n", "'./shelf.py' in its"),
        (DEMO + "custom_imports = dict(imports=['.shelf'])\n", "'.shelf' in its"),
        (DEMO + "custom_imports = dict(imports=[''])\n", "'' in its `custom_imports`"),
        (DEMO + "test_dataloader['dataset']['pipeline'] = 'none'\n", "test pipeline is 'none'"),
        ("", "it is empty"),
        ("x = 1\n", "has no `model`"),
        ("model = dict(type='RPN')\ndata = dict(test=dict())\n", "is for mmdet 2"),
        ("model = dict(type='RPN')\n", "no test data set"),
        ("model = dict(type='RPN')\ntest_dataloader = dict(dataset=3)\n", "test data set is 3"),
        ("model = dict(type='RPN')\ntest_dataloader = [dict()]\n", "no test data set"),
    ],
)
def test_a_file_that_is_no_configuration_says_what_it_is(
    write: Callable[..., Path], text: str, fault: str
) -> None:
    with pytest.raises(DetectorLoadError, match=fault):
        read_config(write(text))


def test_a_part_that_nothing_registers_is_named_without_a_librarys_wording(
    write: Callable[..., Path],
) -> None:
    own = write(DEMO.replace('type="CSPNeXt"', 'type="ShelfNet"'))
    with pytest.raises(DetectorLoadError, match="nothing imported is called ShelfNet"):
        load_detector("own", random_weights=True, config=own)


def test_a_model_that_cannot_be_built_says_what_its_code_raised(
    write: Callable[..., Path],
) -> None:
    own = write(DEMO.replace("num_classes=4", "num_classes='4'"))
    with pytest.raises(DetectorLoadError, match=r"TypeError: '<=' not supported .* 'int'"):
        load_detector("own", random_weights=True, config=own)


def test_a_preprocessor_that_makes_no_numbers_of_an_image_is_refused(
    write: Callable[..., Path],
) -> None:
    own = write(DEMO.replace("std=[57.375", "std=[0.0"))
    with pytest.raises(DetectorLoadError, match="numbers that are not finite"):
        load_detector("own", random_weights=True, config=own)


def test_a_type_of_local_code_in_the_pure_python_form_is_named(write: Callable[..., Path]) -> None:
    own = DEMO.replace('"CocoDataset", metainfo=metainfo', "Shelf")
    with pytest.raises(DetectorLoadError, match="'shelf_data', which is missing") as caught:
        load_detector(
            "own", random_weights=True, config=write("from shelf_data import Shelf\n" + own)
        )
    assert "pip install" not in str(caught.value)


STANDARD = """
import copy
import datetime
import math
import os
import os.path as osp
from glob import glob
from json import loads
from pathlib import Path
work_dir = os.path.join(os.environ.get("HOME", ""), osp.basename("runs"))
steps = copy.deepcopy(test_pipeline)
year = datetime.datetime(2026, 1, 1).strftime("%Y")
x = math.ceil(3.2), loads("[1]"), Path("a") / "b", glob("*.none")
"""


@pytest.mark.parametrize("form", ["plain", "pure", "on a plain base", "on a pure base"])
def test_a_configuration_may_call_pythons_own_modules(
    write: Callable[..., Path], form: str
) -> None:
    base = {
        "plain": DEMO,
        "pure": "from mmdet.models import RTMDet\n" + DEMO.replace('"RTMDet"', "RTMDet"),
        "on a plain base": "_base_ = './base.py'\ntest_pipeline = _base_.test_pipeline\n",
        "on a pure base": "from mmengine.config import read_base\nwith read_base():\n"
        "    from .base import *\n",
    }[form]
    write(DEMO, "base.py")
    config = read_config(write(base + STANDARD))
    assert config.work_dir.endswith("/runs")
    assert config.steps == config.test_pipeline
    assert (config.year, config.x[0], config.x[1]) == ("2026", 4, [1])


@pytest.mark.parametrize(
    "use",
    ["numpy.array([1])", "numpy.pi * 2", "int(numpy.pi)", "[numpy.linspace(0, 1)]"],
)
def test_a_value_of_a_library_in_a_configuration_is_named_by_its_line(
    write: Callable[..., Path], use: str
) -> None:
    lines = DEMO.count("\n") + 2
    own = write(f"{DEMO}import numpy\nx = {use}\n")
    with pytest.raises(DetectorLoadError, match=rf"line {lines} of own.py uses the value of"):
        read_config(own)


MODEL, PREPROCESSOR = DEMO.partition("    data_preprocessor=dict(")[::2]
PREPROCESSOR, _, REST = PREPROCESSOR.partition("    ),\n")


@pytest.mark.parametrize("own", ["", "    data_preprocessor=None,\n"])
def test_a_preprocessor_beside_the_model_is_the_models(
    write: Callable[..., Path], own: str
) -> None:
    weights = find_model("rtmdet-ins_demo").weights
    text = f"{MODEL}{own}{REST}\ndata_preprocessor = dict({PREPROCESSOR})\n"
    config = write(text)
    assert hash_config(read_config(config)) == hash_config(read_config(write(DEMO, "inside.py")))
    assert load_detector("own", weights=weights, config=config).describe().masks
    both = read_config(write(DEMO + "data_preprocessor = dict(type='DetDataPreprocessor')\n"))
    assert both.model.data_preprocessor.mean == [103.53, 116.28, 123.675]


def test_a_missing_preprocessor_is_named(write: Callable[..., Path]) -> None:
    with pytest.raises(DetectorLoadError, match="own has no `data_preprocessor`"):
        load_detector("own", random_weights=True, config=write(MODEL + REST))
