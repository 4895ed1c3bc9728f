"""How small a picture a model takes, and a trial of a small model from end to end."""

from __future__ import annotations

import pytest

from zoo.outcomes import Task


@pytest.mark.parametrize(
    ("width", "height", "cells"), [(256, 192, 1020), (1333, 33, 1192), (1333, 32, 899), (1, 1, 4)]
)
def test_cells_are_counted_over_all_feature_maps(width: int, height: int, cells: int) -> None:
    from zoo.shrinking import count_cells

    assert count_cells(width, height, 8, 4) == cells


@pytest.mark.parametrize(
    ("model", "side"),
    [
        ({"type": "RetinaNet"}, 128),
        ({"type": "DeformableDETR", "as_two_stage": True, "num_queries": 300}, 160),
        ({"type": "DINO", "as_two_stage": True, "num_queries": 900}, 256),
        ({"type": "DINO", "as_two_stage": True, "num_queries": 900, "num_feature_levels": 5}, 128),
    ],
    ids=["cells", "300 queries", "900 queries", "five levels"],
)
def test_a_model_gets_a_picture_with_a_cell_for_each_query(
    model: dict[str, object], side: int
) -> None:
    from mmengine.config import ConfigDict

    from zoo.shrinking import find_side

    assert find_side(ConfigDict(model)) == side


def test_thresholds_and_sizes_shrink_wherever_they_stand() -> None:
    from mmengine.config import Config

    from zoo.shrinking import shrink

    rcnn = {"score_thr": 0.05, "nms": {"type": "nms"}, "max_per_img": 100}
    resize = {"type": "Resize", "scale": (1333, 800)}
    config = Config(
        {
            "model": {
                "type": "FasterRCNN",
                "backbone": {"type": "ResNet"},
                "neck": {"type": "FPN"},
                "test_cfg": {"rcnn": rcnn, "max_per_img": 300},
            },
            "test_dataloader": {"dataset": {"pipeline": [{"transforms": [resize]}]}},
        }
    )
    shrink(config)
    small = {"score_thr": 0.0, "nms": {"type": "nms"}, "max_per_img": 20}
    assert config.model.test_cfg.to_dict() == {"rcnn": small, "max_per_img": 300}
    (step,) = config.test_dataloader.dataset.pipeline[0].transforms
    assert step.scale == (128, 128)


def test_a_small_model_is_tried_from_its_name_to_the_contracts_words() -> None:
    from zoo.trial import try_entry

    outcome = try_entry(Task("rtmdet_tiny_8xb32-300e_coco"))
    assert outcome.reason == ""
    assert outcome.found == 20
    assert outcome.plan
    assert (outcome.width, outcome.height) == (128, 96)
    assert outcome.operators == ("nms",)
    assert outcome.peak_mib > 100
    assert try_entry(Task("no-such-model")).reason.startswith("DetectorLoadError: ")
