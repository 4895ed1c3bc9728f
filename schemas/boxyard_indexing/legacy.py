"""mmdet-2 names: which model of today's index each one means.

The renaming followed no rule. `legacy-names.txt` holds it, joined from three wheels of mmdet 2
(2.19.1, 2.25.3, 2.28.2) and today's index by the published weights, which kept their files:

    pip download --no-deps mmdet==2.28.2    # and the others
    python -m boxyard_indexing mmdet-2.*.whl

An old model is a new one if they publish the same file (the eight characters of its hash); failing
that, if both came of the same training run (its second); failing that, if the new one's weights lie
in a folder of the old one's name. What was trained anew is joined by hand.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from .index import read_index
from .repairs import WEIGHTS

TABLE = Path(__file__).with_name("legacy-names.txt")

_MARKS = {
    "digest": re.compile(r"-([0-9a-f]{8})\.pth$"),
    "run": re.compile(r"_(\d{8}_\d{6})-[0-9a-f]{8}\.pth$"),
    "folder": re.compile(r"/([^/]+)/[^/]*$"),
}

BY_HAND = {
    # Trained anew for mmdet 3.
    "deformable_detr_r50_16x2_50e_coco": "deformable-detr_r50_16xb2-50e_coco",
    "deformable_detr_refine_r50_16x2_50e_coco": "deformable-detr-refine_r50_16xb2-50e_coco",
    "deformable_detr_twostage_refine_r50_16x2_50e_coco": (
        "deformable-detr-refine-twostage_r50_16xb2-50e_coco"
    ),
    "detr_r50_8x2_150e_coco": "detr_r50_8xb2-150e_coco",
    "mask2former_r50_lsj_8x2_50e_coco-panoptic": "mask2former_r50_8xb2-lsj-50e_coco-panoptic",
    # Weights never published.
    "mask_rcnn_r50_caffe_fpn_syncbn-all_rpn-2conv_lsj_100e_coco": (
        "mask-rcnn_r50-caffe_fpn_rpn-2conv_4conv1fc_syncbn-all_lsj-100e_coco"
    ),
    # Called `lvis` until LVIS v1 came, and so is their folder still.
    **{
        f"mask_rcnn_{old}_fpn_sample1e-3_mstrain_2x_{data}": (
            f"mask-rcnn_{new}_fpn_sample1e-3_ms-2x_lvis-v0.5"
        )
        for old, new in (
            ("r50", "r50"),
            ("r101", "r101"),
            ("x101_32x4d", "x101-32x4d"),
            ("x101_64x4d", "x101-64x4d"),
        )
        for data in ("lvis", "lvis_v0.5")
    },
    # mmdet 2.28.2 gives both the same weights.
    "bbox_r50_grid_fpn_gn-neck+head_1x_coco": "reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco",
    "bbox_r50_grid_center_fpn_gn-neck+head_1x_coco": (
        "reppoints-bbox_r50-center_fpn-gn_head-gn-grid_1x_coco"
    ),
}


@lru_cache
def read_legacy_names() -> dict[str, tuple[str, ...]]:
    """Today's name → the mmdet-2 names that became it, sorted."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in TABLE.read_text().splitlines():
        old, new = line.split()
        found[new].append(old)
    return {new: tuple(old) for new, old in found.items()}


def join(wheels: Sequence[Path]) -> str:
    """The table's text, from wheels of mmdet 2.

    Raises:
        ValueError: a name would lead to two models.
    """
    current = {entry.name for entry in read_index()}
    pairs = {*BY_HAND.items(), *_join(wheels)}
    table = sorted((old, new) for old, new in pairs if old not in current)
    counts = Counter(old for old, _ in table)
    if twice := sorted(old for old, count in counts.items() if count > 1):
        raise ValueError(f"These names lead to two models: {twice}")
    return "".join(f"{old} {new}\n" for old, new in table)


def _join(wheels: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """By the surest mark that an old and a new model share."""
    old_marks = _gather(pair for wheel in wheels for pair in _read(wheel))
    new_marks = _gather(
        (entry.name, unquote(WEIGHTS.get(entry.name) or entry.model.get("Weights") or ""))
        for entry in read_index()
    )
    for old in old_marks.keys() - BY_HAND.keys():
        for kind in _MARKS:
            same = [new for new in new_marks if old_marks[old][kind] & new_marks[new][kind]]
            yield from ((old, new) for new in same)
            if same:
                break


def _gather(models: Iterable[tuple[str, str]]) -> dict[str, dict[str, set[str]]]:
    """Name → what its weights' URLs tell it by."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, url in models:
        for kind, pattern in _MARKS.items():
            found[name][kind].update(pattern.findall(url))
    return found


def _read(wheel: Path) -> Iterator[tuple[str, str]]:
    """Old names with their weights' URLs; a configuration's own is the folder it would have."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = Path(name)
            if path.name == "metafile.yml":
                for model in _models(yaml.load(archive.read(name), yaml.CSafeLoader)):
                    yield unquote(model["Name"]), unquote(model.get("Weights") or "")
            elif "/configs/" in name and path.suffix == ".py":
                yield path.stem, f"/{path.stem}/"


def _models(page: Any) -> list[dict[str, Any]]:
    return list(page["Models"] if isinstance(page, dict) else page)
