"""The catalogue as everybody reads it: without mmdet."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import boxyard_schemas
from boxyard_schemas import DEMO_MODEL, aliases_of, is_legacy, resolve_model
from boxyard_schemas.catalogue import catalogue
from boxyard_schemas.errors import UnknownModel

FILE = Path(boxyard_schemas.__file__).with_name("catalogue.json")
PREFIXES = ("", "mmd-3x-", "mmdet-3x-")
# Names that tell of their neighbours: one in eleven, the same ones every time.
SAMPLE = sorted(catalogue())[::11]


def suggestions(name: str) -> list[str]:
    with pytest.raises(UnknownModel) as unknown:
        resolve_model(name)
    found: list[str] = unknown.value.data["suggestions"]
    return found


def test_it_holds_the_indexs_models_and_the_demos_by_name() -> None:
    assert len(catalogue()) == 550 + 1
    assert list(catalogue()) == sorted(catalogue())
    assert DEMO_MODEL in catalogue()
    assert all(name == entry.name for name, entry in catalogue().items())


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        (
            "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco",
            {
                "task": "object-detection",
                "family": "Sparse R-CNN",
                "weights_digest": "9fe92701",
                "box_ap": 45.0,
                "mask_ap": None,
                "input_size": (1333, 800),
                "licence": "Apache-2.0",
                "training_data": "COCO",
                "extra": None,
                "text_prompt": False,
            },
        ),
        (
            "rtmdet-ins_x_8xb16-300e_coco",
            {
                "task": "instance-segmentation",
                "aliases": ("rtmdet-ins-x",),
                "box_ap": 52.4,
                "mask_ap": 44.6,
                "input_size": (640, 640),
                "legacy_names": (),
            },
        ),
        # Its configuration is spelled otherwise.
        (
            "yolof_r50_c5_8x8_1x_coco",
            {
                "config": "yolof/yolof_r50-c5_8xb8-1x_coco.py",
                "aliases": ("yolof_r50-c5_8xb8-1x_coco",),
            },
        ),
        (
            "mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1",
            {"training_data": "LVIS v1", "box_ap": 22.5, "mask_ap": 21.7},
        ),
        # Weights that others trained.
        (
            "glip_atss_swin-t_a_fpn_dyhead_pretrain_obj365",
            {"licence": "MIT", "extra": "language", "text_prompt": True},
        ),
        ("glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco", {"licence": "Apache-2.0"}),
        ("ddq-detr-5scale_r50_8xb2-12e_coco", {"licence": "", "weights_digest": ""}),
        ("rtmdet_l_convnext_b_4xb32-100e_coco", {"licence": "", "extra": None}),
        # Nothing published, no score, no resizing, a picture that may stand.
        ("dino-4scale_r50_8xb2-24e_coco", {"weights_url": "", "box_ap": None}),
        ("rpn_r50_fpn_1x_coco", {"box_ap": None, "weights_digest": "5525fa2e"}),
        ("cornernet_hourglass104_8xb6-210e-mstest_coco", {"input_size": None}),
        ("solov2-light_r18_fpn_ms-3x_coco", {"input_size": (768, 448)}),
        # Each has its own weights, which the index gives both.
        ("reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco", {"weights_digest": "0eedf8d1"}),
        ("reppoints-bbox_r50-center_fpn-gn_head-gn-grid_1x_coco", {"weights_digest": "00f73d58"}),
        (DEMO_MODEL, {"config": "", "weights_url": "", "input_size": (256, 256)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_says_of_a_model(name: str, facts: dict[str, Any]) -> None:
    said = catalogue()[name].model_dump()
    assert {fact: said[fact] for fact in facts} == facts


def test_a_digest_ends_the_weights_name() -> None:
    for entry in catalogue().values():
        assert entry.weights_url.startswith("https://") or not entry.weights_url
        if entry.weights_digest:
            assert entry.weights_url.endswith(f"-{entry.weights_digest}.pth")


def test_every_model_is_described_somewhere() -> None:
    for entry in catalogue().values():
        assert entry.paper is not None
        assert entry.paper.title == entry.paper.title.strip() != ""
        assert entry.paper.url.startswith("http")


def test_a_spelling_means_one_model() -> None:
    spellings = Counter(
        spelling
        for entry in catalogue().values()
        for spelling in (entry.name, *entry.aliases, *entry.legacy_names)
    )
    assert [spelling for spelling, count in spellings.items() if count > 1] == []


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_spelling_leads_to_its_model_and_mmdet_2s_are_legacy(prefix: str) -> None:
    for entry in catalogue().values():
        current, legacy = (entry.name, *entry.aliases), entry.legacy_names
        written = [prefix + spelling for spelling in (*current, *legacy)]
        assert {resolve_model(spelling) for spelling in written} == {entry.name}
        assert [is_legacy(spelling) for spelling in written] == (
            [False] * len(current) + [True] * len(legacy)
        )


def test_a_models_other_names_are_current_and_lead_back() -> None:
    for name in catalogue():
        assert {resolve_model(alias) for alias in aliases_of(name)} == {name}
        assert not any(is_legacy(alias) for alias in aliases_of(name))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        # The cards that AzureML has deprecated.
        (
            "sparse_rcnn_r101_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
            "sparse-rcnn_r101_fpn_300-proposals_crop-ms-480-800-3x_coco",
        ),
        (
            "deformable_detr_twostage_refine_r50_16x2_50e_coco",
            "deformable-detr-refine-twostage_r50_16xb2-50e_coco",
        ),
        (
            "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
            "vfnet_x101-64x4d-mdconv-c3-c5_fpn_ms-2x_coco",
        ),
        ("vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco", "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"),
        # Any other: by its weights, by their training run, by their folder, by hand.
        ("faster_rcnn_r50_fpn_1x_coco", "faster-rcnn_r50_fpn_1x_coco"),
        ("mask2former_r50_lsj_8x2_50e_coco", "mask2former_r50_8xb2-lsj-50e_coco"),
        ("mask_rcnn_r50_fpn_albu_1x_coco", "mask-rcnn_r50_fpn_albu-1x_coco"),
        ("detr_r50_8x2_150e_coco", "detr_r50_8xb2-150e_coco"),
        # Two old names of one model, and two models that an old index confused.
        ("retinanet_r50_fpn_mstrain_3x_coco", "retinanet_r50_fpn_ms-640-800-3x_coco"),
        ("retinanet_r50_fpn_mstrain_640-800_3x_coco", "retinanet_r50_fpn_ms-640-800-3x_coco"),
        (
            "bbox_r50_grid_fpn_gn-neck+head_1x_coco",
            "reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco",
        ),
        (
            "bbox_r50_grid_center_fpn_gn-neck+head_1x_coco",
            "reppoints-bbox_r50-center_fpn-gn_head-gn-grid_1x_coco",
        ),
    ],
    ids=str,
)
def test_mmdet_2s_name_leads_to_its_successor(written: str, meant: str) -> None:
    assert resolve_model(written) == meant
    assert is_legacy(f"mmd-3x-{written}")


def test_what_mmdet_3_still_calls_as_mmdet_2_did_is_not_legacy() -> None:
    assert not is_legacy("atss_r50_fpn_1x_coco")
    assert not is_legacy("yolox_s_8x8_300e_coco")
    assert not is_legacy("nobody")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_slip_of_the_pen_is_recognised(name: str) -> None:
    middle = len(name) // 2
    for slip in (
        name[:middle] + "~" + name[middle + 1 :],
        name[:middle] + name[middle + 1 :],
        name[1:],
        name[:middle] + name[middle : middle + 2][::-1] + name[middle + 2 :] + "a",
        f"mmdet-3x-{name.upper()}.PY",
    ):
        assert name in suggestions(slip)


def test_a_slip_in_mmdet_2s_name_suggests_the_successor() -> None:
    for entry in list(catalogue().values())[::11]:
        for legacy in entry.legacy_names:
            assert entry.name in suggestions(legacy.replace("rcnn", "rnn") + "o")


def test_a_familys_name_alone_suggests_three_of_it() -> None:
    assert {catalogue()[name].family for name in suggestions("yolox")} == {"YOLOX"}
    assert len(suggestions("mask-rcnn")) == 3


@pytest.mark.parametrize("name", ["nonsense", "x", "1", "z" * 200, "nope", "test", "model", "coco"])
def test_what_is_like_nothing_suggests_nothing(name: str) -> None:
    assert suggestions(name) == []


def test_a_name_that_is_like_all_is_answered_soon() -> None:
    suggestions("warm-up")
    started = time.process_time()
    for _ in range(10):
        suggestions("mask-rcnn_r50_fpn_" * 11)
    assert time.process_time() - started < 10 * 0.2


def test_a_name_of_any_length_is_answered_soon_and_in_short() -> None:
    suggestions("warm-up")
    started = time.process_time()
    with pytest.raises(UnknownModel) as unknown:
        resolve_model("_fpn_" * 12_000)
    assert time.process_time() - started < 0.2
    assert len(unknown.value.detail) < 300


def test_nothing_is_read_before_somebody_asks() -> None:
    asked = (
        "import boxyard_schemas as words; from boxyard_schemas.catalogue import catalogue as all;"
    )
    told = "print(all.cache_info().misses); words.resolve_model('rtmdet-ins_demo');"
    lines = subprocess.run(
        [sys.executable, "-c", asked + told + "print(all.cache_info().misses)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert lines.stdout.split() == ["0", "1"]


def test_the_file_is_small_and_a_change_to_a_model_is_a_changed_line() -> None:
    text = FILE.read_text()
    assert len(text.encode()) < 600_000
    assert text.count("\n") == len(catalogue()) + 2
