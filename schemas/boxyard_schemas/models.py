"""Models and their names: mmdet-3's, AzureML's prefixes, mmdet-2's for the deprecated cards."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .errors import UnknownModel
from .jobs import ModelName
from .words import Response

DEMO_MODEL = "rtmdet-ins_demo"

_PREFIXES = ("mmd-3x-", "mmdet-3x-")

_ALIASES = {
    # The cards' own spelling of mmdet-3 names.
    "deformable-detr_refine_twostage_r50_16xb2-50e_coco": (
        "deformable-detr-refine-twostage_r50_16xb2-50e_coco"
    ),
    # mmdet-2 names of the deprecated cards; the renaming follows no rule.
    "sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco": (
        "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco"
    ),
    "sparse_rcnn_r101_fpn_300_proposals_crop_mstrain_480-800_3x_coco": (
        "sparse-rcnn_r101_fpn_300-proposals_crop-ms-480-800-3x_coco"
    ),
    "deformable_detr_twostage_refine_r50_16x2_50e_coco": (
        "deformable-detr-refine-twostage_r50_16xb2-50e_coco"
    ),
    "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco": "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco",
    "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco": (
        "vfnet_x101-64x4d-mdconv-c3-c5_fpn_ms-2x_coco"
    ),
}

Task = Literal["object-detection", "instance-segmentation"]

_KNOWN: dict[str, Task] = {
    DEMO_MODEL: "instance-segmentation",
    "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco": "object-detection",
    "sparse-rcnn_r101_fpn_300-proposals_crop-ms-480-800-3x_coco": "object-detection",
    "deformable-detr-refine-twostage_r50_16xb2-50e_coco": "object-detection",
    "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco": "object-detection",
    "vfnet_x101-64x4d-mdconv-c3-c5_fpn_ms-2x_coco": "object-detection",
    "rtmdet-ins_tiny_8xb32-300e_coco": "instance-segmentation",
    "rtmdet-ins_s_8xb32-300e_coco": "instance-segmentation",
    "rtmdet-ins_m_8xb32-300e_coco": "instance-segmentation",
    "rtmdet-ins_l_8xb32-300e_coco": "instance-segmentation",
    "rtmdet-ins_x_8xb16-300e_coco": "instance-segmentation",
}
"""The cards' models and the demo's. A model beyond these is known once a worker serves it."""


class ModelWorker(Response):
    """A detect worker that lives."""

    id: str
    host: str
    device: str
    warm: bool


class Model(Response):
    """A model that jobs may name. Part of the answer of `GET /v1/models`."""

    name: ModelName
    aliases: tuple[str, ...] = ()
    task: Task | None = None
    classes: tuple[str, ...] = Field((), description="Known once a worker serves it.")
    workers: tuple[ModelWorker, ...] = ()
    queued: int = Field(0, description="Ready jobs that wait.")
    queue: str


class ModelList(Response):
    """Answer of `GET /v1/models`."""

    models: tuple[Model, ...]


def aliases_of(name: str) -> tuple[str, ...]:
    """Every other name that a model answers to."""
    spelled = [alias for alias, target in _ALIASES.items() if target == name]
    return (*spelled, *(prefix + name for prefix in _PREFIXES))


def known_models() -> dict[str, Task]:
    """Models that are known without a worker: name → task."""
    return dict(_KNOWN)


def resolve_model(name: str, served: Iterable[str] = ()) -> str:
    """The mmdet-3 name behind any spelling.

    Args:
        name: as a caller wrote it.
        served: names of models that workers serve, beside the known ones.

    Raises:
        UnknownModel: with near names as `suggestions`.
    """
    bare = name
    for prefix in _PREFIXES:
        bare = bare.removeprefix(prefix)
    found = _ALIASES.get(bare, bare)
    names = {*_KNOWN, *served}
    if found in names:
        return found
    near = difflib.get_close_matches(bare, [*names, *_ALIASES], n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else " `boxyard models` lists them."
    raise UnknownModel(f"No model is called {name!r}.{hint}", suggestions=near)
