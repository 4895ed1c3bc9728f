"""What mmdet gets wrong is mended, and all else stays its own."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData

from boxyard_worker.detector import mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.configuration import read_config

BOXES = {
    "inside": [2.0, 1.0, 7.0, 6.0],
    "over the edge": [-3.0, 4.0, 4.0, 14.0],
    "beside it on the right": [13.0, 2.0, 19.0, 7.0],
    "above it": [2.0, -9.0, 8.0, -4.0],
    "not a number": [float("nan")] * 4,
}


@pytest.mark.parametrize("place", BOXES)
def test_a_mask_is_pasted_on_a_cpu_as_on_a_gpu_wherever_its_box_lies(place: str) -> None:
    from boxyard_worker.detector.faults import paste

    boxes = torch.tensor([BOXES[place]])
    masks = torch.rand((1, 1, 4, 4), generator=torch.Generator().manual_seed(3)) + 0.5
    whole, _ = paste(masks, boxes, 10, 12, skip_empty=False)  # as on a GPU
    part, spans = paste(masks, boxes, 10, 12, skip_empty=True)
    laid_out = torch.zeros((1, 10, 12))
    laid_out[(slice(None), *spans)] = part
    torch.testing.assert_close(laid_out, whole.nan_to_num())
    assert bool(laid_out.any()) is (place in {"inside", "over the edge"})


def test_point_rend_refines_the_masks_of_a_picture_whose_mate_has_no_instance() -> None:
    from boxyard_worker.detector.faults import mend

    mmdetection.init_default_scope("mmdet")
    config = read_config(find_model("point-rend_r50-caffe_fpn_ms-1x_coco").config).model
    small = {"in_channels": 8, "num_classes": 3}
    settings = config.roi_head
    settings.bbox_head.update(small, fc_out_channels=8)
    settings.mask_head.update(small, fc_out_channels=8, conv_out_channels=8)
    settings.point_head.update(small, fc_channels=8)
    for extractor in (settings.bbox_roi_extractor, settings.mask_roi_extractor):
        extractor.out_channels = 8
    head = mmdetection.MODELS.build({**settings, "test_cfg": config.test_cfg.rcnn}).eval()
    mend(head)
    draw = torch.Generator().manual_seed(3)
    maps = [torch.randn((2, 8, side, side), generator=draw) for side in (32, 16, 8, 4)]
    meta = {"ori_shape": (128, 128), "scale_factor": (1.0, 1.0)}
    boxes = torch.tensor([[10.0, 20.0, 90.0, 100.0], [5.0, 5.0, 30.0, 60.0]])
    found = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]), scores=torch.ones(2))
    with torch.inference_mode():
        mate, one = head.predict_mask(maps, [meta, meta], [found[:0], found], rescale=True)
        first = [each[1:] for each in maps]
        (alone,) = head.predict_mask(first, [meta], [found], rescale=True)
    assert mate.masks.shape == (0, 128, 128)
    assert bool(one.masks.any())
    torch.testing.assert_close(one.masks, alone.masks)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("ga-retinanet_r50-caffe_fpn_1x_coco", "bbox_head"),
        ("ga-faster-rcnn_r50-caffe_fpn_1x_coco", "rpn_head"),
    ],
    ids=["retinanet", "rpn"],
)
def test_guided_anchors_of_a_batch_are_those_of_each_picture_alone(name: str, head: str) -> None:
    from boxyard_worker.detector.faults import mend

    mmdetection.init_default_scope("mmdet")
    config = read_config(find_model(name).config).model
    limits = config.test_cfg.get("rpn", config.test_cfg)
    settings = {**config[head], "in_channels": 8, "feat_channels": 8, "test_cfg": limits}
    torch.manual_seed(3)
    part = mmdetection.MODELS.build(settings).eval()
    mend(part)
    maps = [torch.randn((2, 8, side, side)) for side in (16, 8, 4, 2, 1)]
    meta = {"img_shape": (128, 128), "pad_shape": (128, 128), "scale_factor": (1.0, 1.0)}
    with torch.inference_mode():
        found = part.predict_by_feat(*part(maps), batch_img_metas=[meta, meta])
        for number, mate in enumerate(found):
            lone = part([each[number : number + 1] for each in maps])
            (alone,) = part.predict_by_feat(*lone, batch_img_metas=[meta])
            torch.testing.assert_close(mate.bboxes, alone.bboxes)
            torch.testing.assert_close(mate.scores, alone.scores)
            assert len(alone)
