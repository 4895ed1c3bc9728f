"""What is said of models over HTTP; their names and what is known of them are the catalogue's."""

from __future__ import annotations

from pydantic import Field

from .catalogue import DEMO_MODEL, Task
from .jobs import ModelName
from .words import Response

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


def known_models() -> dict[str, Task]:
    """Models that are known without a worker: name → task."""
    return dict(_KNOWN)
