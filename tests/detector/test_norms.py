"""Models that were trained in several processes are built and served in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmcv.cnn import build_norm_layer

from boxyard_worker.detector.mmdetection import read_config

CONFIG = """
model = dict(
    type="MaskRCNN",
    backbone=dict(norm_cfg=dict(type="{norm}", requires_grad=True)),
    roi_head=[dict(norm_cfg=dict(type="mmdet.{norm}"))],
)
test_dataloader = dict(dataset=dict(pipeline=[dict(type="LoadImageFromFile")]))
"""


def test_batch_norm_over_processes_becomes_the_plain_one_with_the_same_weights(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.py"
    file.write_text(CONFIG.format(norm="MMSyncBN"))
    model = read_config(file).model
    assert model.roi_head[0].norm_cfg.type == "BN"
    name, layer = build_norm_layer(dict(model.backbone.norm_cfg), 4)
    assert name == "bn"
    assert isinstance(layer, torch.nn.BatchNorm2d)
    assert set(layer.state_dict()) == {
        *("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


@pytest.mark.parametrize("norm", ["SyncBN", "GN", "BN"])
def test_other_norms_stay_what_they_are(norm: str, tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(CONFIG.format(norm=norm))
    assert read_config(file).model.backbone.norm_cfg.type == norm
