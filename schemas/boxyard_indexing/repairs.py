"""What mmdet's index has wrong or leaves out, and where that is known from."""

from __future__ import annotations

from typing import Any

from boxyard_schemas.catalogue import Task

EXTRAS = {
    # A member of the configuration's model: Boxyard's extra that brings what it needs.
    "language_model": "language",
}

WEIGHTS = {
    # The index gives it the weights of its sister with anchors; mmdet 2.19.1's index has its own.
    "reppoints-bbox_r50-center_fpn-gn_head-gn-grid_1x_coco": (
        "https://download.openmmlab.com/mmdetection/v2.0/reppoints/"
        "bbox_r50_grid_center_fpn_gn-neck%2Bhead_1x_coco/"
        "bbox_r50_grid_center_fpn_gn-neck%2Bhead_1x_coco_20200330-00f73d58.pth"
    ),
}

TASKS: dict[str, Task] = {
    # The index has its box AP as a mask AP too; it makes no masks.
    "faster-rcnn_r50_fpn_carafe_1x_coco": "object-detection",
    # The index leaves out its mask AP; it makes masks.
    "mask-rcnn_x101-32x8d_fpn_ms-poly-3x_coco": "instance-segmentation",
}

ALIASES = {
    # AzureML's card spells it so.
    "deformable-detr-refine-twostage_r50_16xb2-50e_coco": (
        "deformable-detr_refine_twostage_r50_16xb2-50e_coco",
    ),
}

PAPERS = {
    # Collections whose paper the index leaves out, or gives without a title: from their READMEs.
    "CondInst": ("Conditional Convolutions for Instance Segmentation", "2003.05664"),
    "MM Grounding DINO": (
        "An Open and Comprehensive Pipeline for Unified Object Grounding and Detection",
        "2401.02361",
    ),
    "RTMDet": ("RTMDet: An Empirical Study of Designing Real-Time Object Detectors", "2212.07784"),
    "SOLO": ("SOLO: Segmenting Objects by Locations", "1912.04488"),
    "SOLOv2": ("SOLOv2: Dynamic and Fast Instance Segmentation", "2003.10152"),
}

LICENCE = "Apache-2.0"
"""mmdet's own, and what AzureML's cards say of its models."""

CONVERTED = {
    # Weights that others trained and mmdet converted: their licence, "" where it is not known.
    "/glip/glip_tiny_": "MIT",
    "/glip/glip_l_": "MIT",
    "/grounding_dino/groundingdino_": "Apache-2.0",
    "/ddq/ddq_detr_": "",
    # Not mmdet's own host: published by people who say nothing of it in the index.
    "https://github.com/": "",
}

DEMO: dict[str, Any] = {
    # Packaged with Boxyard; its model card says the same.
    "name": "rtmdet-ins_demo",
    "task": "instance-segmentation",
    "family": "RTMDet",
    "config": "",
    "box_ap": 70.6,
    "mask_ap": 73.3,
    "input_size": (256, 256),
    "licence": LICENCE,
    "training_data": "10,000 rendered pictures",
    "paper": {
        "title": PAPERS["RTMDet"][0],
        "url": f"https://arxiv.org/abs/{PAPERS['RTMDet'][1]}",
    },
}
