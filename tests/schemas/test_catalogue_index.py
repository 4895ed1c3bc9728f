"""The catalogue against the index that it was made from, in mmdet's wheel."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

import boxyard_worker
from boxyard_indexing import FILE, generate
from boxyard_indexing.configs import read_config
from boxyard_indexing.index import IndexEntry, find_config, find_root, merge, read_index
from boxyard_indexing.legacy import BY_HAND, TABLE, join, read_legacy_names
from boxyard_schemas.catalogue import DEMO_MODEL, catalogue

ENTRIES = {entry.name: entry for entry in read_index()}
GN_WS = (
    # name in the index, file in gn+ws
    ("faster-rcnn_r50_fpn_gn_ws-all_1x_coco", "faster-rcnn_r50_fpn_gn-ws-all_1x_coco"),
    ("faster-rcnn_r101_fpn_gn-ws-all_1x_coco", "faster-rcnn_r101_fpn_gn-ws-all_1x_coco"),
    ("faster-rcnn_x50-32x4d_fpn_gn-ws-all_1x_coco", "faster-rcnn_x50-32x4d_fpn_gn-ws-all_1x_coco"),
    (
        "faster-rcnn_x101-32x4d_fpn_gn-ws-all_1x_coco",
        "faster-rcnn_x101-32x4d_fpn_gn-ws-all_1x_coco",
    ),
    ("mask-rcnn_r50_fpn_gn_ws-all_2x_coco", "mask-rcnn_r50_fpn_gn-ws-all_2x_coco"),
    ("mask-rcnn_r101_fpn_gn-ws-all_2x_coco", "mask-rcnn_r101_fpn_gn-ws-all_2x_coco"),
    ("mask-rcnn_x50-32x4d_fpn_gn-ws-all_2x_coco", "mask-rcnn_x50-32x4d_fpn_gn-ws-all_2x_coco"),
    ("mask-rcnn_x101-32x4d_fpn_gn-ws-all_2x_coco", "mask-rcnn_x101-32x4d_fpn_gn-ws-all_2x_coco"),
    ("mask-rcnn_r50_fpn_gn_ws-all_20_23_24e_coco", "mask-rcnn_r50_fpn_gn-ws-all_20-23-24e_coco"),
    ("mask-rcnn_r101_fpn_gn-ws-all_20-23-24e_coco", "mask-rcnn_r101_fpn_gn-ws-all_20-23-24e_coco"),
    (
        "mask-rcnn_x50-32x4d_fpn_gn-ws-all_20-23-24e_coco",
        "mask-rcnn_x50-32x4d_fpn_gn-ws-all_20-23-24e_coco",
    ),
    (
        "mask-rcnn_x101-32x4d_fpn_gn-ws-all_20-23-24e_coco",
        "mask-rcnn_x101-32x4d_fpn_gn-ws-all_20-23-24e_coco",
    ),
)
REPAIRED = {
    # name: what the index says, what lies in the wheel
    **{
        name: (f"configs/gn%2Bws/{file}.py", f"gn+ws/{file}.py")
        for name, file in GN_WS  # the folder's plus sign, written for a URL
    },
    "mask-rcnn_r50_fpn_albu-1x_coco": (  # no folder
        "mask-rcnn_r50_fpn_albu-1x_coco.py",
        "albu_example/mask-rcnn_r50_fpn_albu-1x_coco.py",
    ),
    "rpn_r50_fpn_2x_coco": ("rpn_r50_fpn_2x_coco.py", "rpn/rpn_r50_fpn_2x_coco.py"),
    "ddq-detr-5scale_r50_8xb2-12e_coco": (  # another folder
        "configs/dino/ddq-detr-5scale_r50_8xb2-12e_coco.py",
        "ddq/ddq-detr-5scale_r50_8xb2-12e_coco.py",
    ),
    "ddq-detr-4scale_swinl_8xb2-30e_coco": (
        "configs/dino/ddq-detr-4scale_swinl_8xb2-30e_coco.py",
        "ddq/ddq-detr-4scale_swinl_8xb2-30e_coco.py",
    ),
}


def test_what_is_committed_is_what_the_wheel_says() -> None:
    committed, made = FILE.read_text(), generate()
    for old, new in zip(committed.splitlines(), made.splitlines(), strict=False):
        assert old == new, "run `make catalogue`"
    assert committed == made, "run `make catalogue`"


def test_the_demo_model_is_what_its_card_and_its_configuration_say() -> None:
    folder = Path(boxyard_worker.__file__).parent / "demo"
    said = catalogue()[DEMO_MODEL]
    scores = re.search(
        r"IoU 0\.5 to 0\.95\D+([\d.]+)\D+([\d.]+)", (folder / "MODEL_CARD.md").read_text()
    )
    assert scores
    assert (said.box_ap, said.mask_ap) == tuple(round(100 * float(ap), 1) for ap in scores.groups())
    assert said.input_size == read_config(folder / f"{DEMO_MODEL}.py").input_size


def test_sixteen_paths_of_the_index_lead_nowhere_and_are_repaired() -> None:
    wrong = {
        name: (entry.model["Config"], find_config(entry))
        for name, entry in ENTRIES.items()
        if not (find_root() / entry.model["Config"]).is_file()
    }
    assert len(wrong) == 16
    assert wrong == REPAIRED


def test_every_configuration_lies_in_the_wheel() -> None:
    configs = find_root() / "configs"
    assert all((configs / catalogue()[name].config).is_file() for name in ENTRIES)


def test_a_path_that_no_rule_repairs_is_refused() -> None:
    entry = ENTRIES["atss_r50_fpn_1x_coco"]
    astray = IndexEntry(entry.metafile, entry.model | {"Config": "nowhere.py"}, {})
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py"):
        find_config(astray)


def test_what_the_index_lists_twice_word_for_word_is_one_model() -> None:
    entry = ENTRIES["mask-rcnn_regnetx-3.2GF_fpn_ms-3x_coco"]
    assert len(ENTRIES) == 550
    assert (find_root() / entry.metafile).read_text().count(f"Name: {entry.name}\n") == 2
    assert merge([entry, entry]) == (entry,)


def test_two_models_of_one_name_are_refused() -> None:
    entry = ENTRIES["atss_r50_fpn_1x_coco"]
    other = IndexEntry(entry.metafile, entry.model | {"Config": "another.py"}, entry.collection)
    with pytest.raises(ValueError, match="atss_r50_fpn_1x_coco"):
        merge([entry, other])


def test_a_configurations_own_spelling_is_an_alias_of_the_indexs_name() -> None:
    differing = {
        name: stem
        for name, entry in ENTRIES.items()
        if (stem := Path(find_config(entry)).stem) != name
    }
    assert differing["mask-rcnn_r50_fpn_gn_ws-all_2x_coco"] == "mask-rcnn_r50_fpn_gn-ws-all_2x_coco"
    assert all(stem in catalogue()[name].aliases for name, stem in differing.items())


def test_the_table_of_old_names_is_in_the_catalogue_and_no_name_of_it_is_still_in_use() -> None:
    table = [line.split() for line in TABLE.read_text().splitlines()]
    assert table == sorted(table)
    assert len(dict(table)) == len(table) == 439
    assert not {old for old, _ in table} & ENTRIES.keys()
    assert {name: catalogue()[name].legacy_names for name in read_legacy_names()} == (
        read_legacy_names()
    )
    assert BY_HAND.items() <= {(old, new) for old, new in table}


def _wheel(path: Path, *models: dict[str, Any], configs: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mmdet/.mim/configs/any/metafile.yml", json.dumps({"Models": models}))
        for name in configs:
            archive.writestr(f"mmdet/.mim/configs/any/{name}.py", "")
    return path


def _pairs(*wheels: Path) -> set[tuple[str, str]]:
    pairs = {tuple(line.split()) for line in join(wheels).splitlines()}
    return {(old, new) for old, new in pairs} - BY_HAND.items()


HOST = "https://download.openmmlab.com/mmdetection/v2.0"


def test_an_old_model_is_the_new_one_with_its_weights_or_its_run_or_its_folder(
    tmp_path: Path,
) -> None:
    one = _wheel(
        tmp_path / "one.whl",
        {"Name": "by_digest", "Weights": f"{HOST}/any/any_20200130-613d9fe2.pth"},
        {"Name": "by_run", "Weights": f"{HOST}/any/any_20220506_191028-8e96e88b.pth"},
        {"Name": "by_nothing", "Weights": f"{HOST}/any/any_20200130-00000000.pth"},
        {"Name": "unpublished"},
    )
    other = _wheel(tmp_path / "two.whl", configs=("mask_rcnn_r50_fpn_albu_1x_coco", "another"))
    assert _pairs(one, other) == {
        ("by_digest", "faster-rcnn_r50_fpn_gn_ws-all_1x_coco"),
        ("by_run", "mask2former_r50_8xb2-lsj-50e_coco"),
        ("mask_rcnn_r50_fpn_albu_1x_coco", "mask-rcnn_r50_fpn_albu-1x_coco"),
    }


def test_weights_count_for_more_than_the_folder_that_they_lie_in(tmp_path: Path) -> None:
    # Its folder also holds the weights of faster-rcnn_r50_fpn_giou_1x_coco.
    old = "faster_rcnn_r50_fpn_1x_coco"
    url = catalogue()["faster-rcnn_r50_fpn_1x_coco"].weights_url
    wheel = _wheel(tmp_path / "one.whl", {"Name": old, "Weights": url}, configs=(old,))
    assert _pairs(wheel) == {(old, "faster-rcnn_r50_fpn_1x_coco")}


def test_a_name_that_is_still_in_use_is_not_old(tmp_path: Path) -> None:
    entry = catalogue()["atss_r50_fpn_1x_coco"]
    wheel = _wheel(tmp_path / "one.whl", {"Name": entry.name, "Weights": entry.weights_url})
    assert _pairs(wheel) == set()


def test_an_old_name_that_leads_to_two_models_is_refused(tmp_path: Path) -> None:
    names = ("faster-rcnn_r50_fpn_1x_coco", "faster-rcnn_r101_fpn_1x_coco")
    models = [{"Name": "two", "Weights": catalogue()[name].weights_url} for name in names]
    with pytest.raises(ValueError, match="two models: \\['two'\\]"):
        join([_wheel(tmp_path / "one.whl", *models)])
