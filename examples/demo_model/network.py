"""The demo's RTMDet-Ins, built from the configuration that the worker loads."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

import boxyard_ops
from demo_model.augment import Example

boxyard_ops.install()

# mmdet's imports need mmcv's operators in place.
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData

DEMO = Path(__file__).parents[2] / "worker" / "boxyard_worker" / "demo"
CONFIG = DEMO / "rtmdet-ins_demo.py"
WEIGHTS = DEMO / "rtmdet-ins_demo.safetensors"


def load_config() -> Any:
    """The model's configuration, an `mmengine.Config`."""
    return Config.fromfile(os.fspath(CONFIG))


def build_network() -> Any:
    """An untrained `mmdet` RTMDet with random weights."""
    register_all_modules()
    network = MODELS.build(load_config().model)
    network.bbox_head.init_weights()
    return network


def build_pipeline() -> Any:
    """The configuration's test pipeline: {img_path, img_id} → what `test_step` takes."""
    register_all_modules()
    return Compose(load_config().test_pipeline)


def pack(example: Example) -> tuple[torch.Tensor, Any]:
    """An example as mmdet wants it: pixels (3, 256, 256) and a `DetDataSample`."""
    shape = example.pixels.shape[:2]
    truth = InstanceData()
    truth.bboxes = torch.from_numpy(example.boxes)
    truth.labels = torch.from_numpy(example.labels)
    truth.masks = BitmapMasks(example.masks, *shape)
    sample = DetDataSample(gt_instances=truth, metainfo={"img_shape": shape, "ori_shape": shape})
    return torch.from_numpy(np.ascontiguousarray(example.pixels.transpose(2, 0, 1))), sample
