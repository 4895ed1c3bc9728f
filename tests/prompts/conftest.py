"""Each open-vocabulary family of mmdet's, small enough to answer at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boxyard_worker.detector.contract import ModelImage
from small_bert import write_bert, write_nltk_data

WORDS = [
    "a",
    "the",
    "and",
    "person",
    "dog",
    "cat",
    "traffic",
    "light",
    "red",
    "green",
    "blue",
    "bottle",
]
TAGS = {"a": "DT", "the": "DT", "red": "JJ", "dog": "NN", "cat": "NN", "and": "CC", "sees": "VBZ"}

_SWIN = "dict(embed_dims=24, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])"
_GROUNDING = """
    num_queries=12,
    encoder=dict(num_layers=1), decoder=dict(num_layers=1), test_cfg=dict(max_per_img=12),
"""
FAMILIES = {
    "glip": (
        "glip/glip_atss_swin-t_b_fpn_dyhead_pretrain_obj365.py",
        f"backbone={_SWIN}, neck=dict(in_channels=[48, 96, 192]),"
        "bbox_head=dict(num_dyhead_blocks=1), test_cfg=dict(score_thr=0, max_per_img=12),",
    ),
    "grounding-dino": (
        "grounding_dino/grounding_dino_r50_scratch_8xb2_1x_coco.py",
        f"{_GROUNDING} backbone=dict(depth=18), neck=dict(in_channels=[128, 256, 512]),",
    ),
    "mm-grounding-dino": (
        "mm_grounding_dino/grounding_dino_swin-t_pretrain_obj365_goldg.py",
        f"{_GROUNDING} backbone={_SWIN}, neck=dict(in_channels=[48, 96, 192]),",
    ),
}
_CONFIG = """
_base_ = {base!r}
model = dict({model})
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(128, 96), keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, metainfo=dict(
    classes=("person", "dog", "traffic light"))))
"""

Open = Callable[[str], Any]


@pytest.fixture(scope="session")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bert(tmp_path_factory.mktemp("bert"), WORDS, layers=1, inner=32)
    write_nltk_data(folder, TAGS)
    return folder


@pytest.fixture(scope="session")
def configure(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def write(family: str) -> Path:
        base, model = FAMILIES[family]
        spec = find_spec("mmdet")
        assert spec
        assert spec.origin
        wheel = Path(spec.origin).parent / ".mim" / "configs"
        path = tmp_path_factory.mktemp("config") / f"{family}.py"
        path.write_text(_CONFIG.format(base=str(wheel / base), model=model))
        return path

    return write


@pytest.fixture(scope="session")
def open_model(language: Path, configure: Callable[[str], Path]) -> Open:
    """Loads a family's small model, once."""

    @cache
    def load(family: str) -> Any:
        from boxyard_worker.detector import load_detector

        torch.set_num_threads(1)
        detector = load_detector(
            family, random_weights=True, config=configure(family), language_model=language
        )
        # Untrained, a model says nearly the same of everything.
        model: Any = detector._model  # type: ignore[attr-defined]
        draw = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for value in model.parameters():
                value.add_(torch.randn(value.shape, generator=draw), alpha=0.05)
        return detector

    return load


def picture(seed: int = 0, **asked: object) -> ModelImage:
    """A picture of blots, in the size that the models take."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (6, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    return ModelImage(pixels, 256, 192, 0.0, 12, False, **asked)  # type: ignore[arg-type]
