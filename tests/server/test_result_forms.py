"""Results as numpy arrays and as supervision's detections, as workers write them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import supervision
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from boxyard_producer.client import SeenImage
from boxyard_schemas import ImageInfo, Parameters
from boxyard_worker.detect.encode import encode
from boxyard_worker.detector.contract import CroppedMask, RawDetections

Mask = NDArray[np.bool_]

NOTHING = SeenImage(boxes=(), image=ImageInfo(width=40, height=30, sha256="0" * 64))


def seen(masks: list[Mask], form: str, *, pixel_boxes: bool = False) -> SeenImage:
    """Instances with these masks and any boxes, best first, through the worker's own encoding."""
    height, width = masks[0].shape
    count = len(masks)
    raw = RawDetections(
        np.array([[1, 2, width - 3, height - 4]] * count, np.float32),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.arange(count, dtype=np.int64) % 2,
        tuple(CroppedMask.pack(mask) for mask in masks),
    )
    parameters = Parameters.model_validate({"masks": form, "pixel_boxes": pixel_boxes})
    found = encode(
        raw, classes=("can", "carton"), parameters=parameters, width=width, height=height
    )
    info = ImageInfo(width=width, height=height, sha256="0" * 64)
    return SeenImage(boxes=found, masks=parameters.masks, image=info)


def blobs(seed: int, count: int, shape: tuple[int, int]) -> list[Mask]:
    """Ragged masks with holes and islands."""
    random = np.random.default_rng(seed)
    return [random.random(shape) < random.uniform(0.2, 0.9) for _ in range(count)]


def cleared(mask: Mask) -> Mask:
    """Without the parts of fewer than three pixels, and with such holes filled."""
    for value in (True, False):
        count, parts, sizes, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=8 if value else 4
        )
        small = [number for number in range(1, count) if sizes[number, cv2.CC_STAT_AREA] < 3]
        mask = np.where(np.isin(parts, small), not value, mask)
    return mask


SHAPES = st.tuples(st.integers(4, 40), st.integers(4, 40))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), SHAPES)
@pytest.mark.parametrize("form", ["rle", "outline"])
def test_masks_of_run_lengths_and_of_outlines_come_back_to_the_pixel(
    form: str, seed: int, count: int, shape: tuple[int, int]
) -> None:
    masks = blobs(seed, count, shape)
    drawn = seen(masks, form).to_numpy().masks
    assert drawn is not None
    np.testing.assert_array_equal(drawn, np.array(masks))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), SHAPES)
def test_masks_of_polygons_come_back_but_for_parts_without_a_ring(
    seed: int, shape: tuple[int, int]
) -> None:
    full, mask = np.ones(shape, np.bool_), cleared(blobs(seed, 1, shape)[0])
    drawn = seen([full, mask], "polygon").to_numpy().masks
    assert drawn is not None
    np.testing.assert_array_equal(drawn[0], full)
    for one in drawn[1:]:  # none where no part has a ring
        np.testing.assert_array_equal(one, mask)


@pytest.mark.parametrize("form", ["rle", "outline", "polygon"])
def test_a_rectangle_comes_back_whatever_its_form(form: str) -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[4:9, 6:25] = True
    drawn = seen([mask], form).to_numpy().masks
    assert drawn is not None
    np.testing.assert_array_equal(drawn[0], mask)


def test_an_outline_of_one_pixel_is_that_pixel() -> None:
    mask = np.zeros((5, 7), np.bool_)
    mask[4, 6] = True
    drawn = seen([mask], "outline").to_numpy().masks
    assert drawn is not None
    np.testing.assert_array_equal(drawn[0], mask)


def test_run_lengths_are_read_as_pycocotools_reads_them() -> None:
    for mask in blobs(7, 5, (130, 211)):
        image = seen([mask], "rle")
        rle = image.boxes[0].mask
        assert rle is not None
        read = coco.decode({"size": list(rle.size), "counts": rle.counts}).astype(bool)
        drawn = image.to_numpy().masks
        assert drawn is not None
        np.testing.assert_array_equal(drawn[0], read)


def test_arrays_have_their_shapes_kinds_and_pixels() -> None:
    arrays = seen(blobs(1, 3, (30, 40)), "rle").to_numpy()
    assert (arrays.boxes.dtype, arrays.scores.dtype) == (np.float32, np.float32)
    assert (arrays.label_ids.dtype, arrays.labels.tolist()) == (np.int64, ["can", "carton", "can"])
    np.testing.assert_allclose(arrays.boxes, [[1, 2, 37, 26]] * 3, rtol=1e-6)
    np.testing.assert_allclose(arrays.scores, [0.9, 0.7, 0.5], rtol=1e-6)
    assert arrays.masks is not None
    assert (arrays.masks.shape, arrays.masks.dtype) == ((3, 30, 40), np.bool_)


def test_boxes_in_pixels_are_taken_as_the_worker_wrote_them() -> None:
    image = seen(blobs(1, 1, (30, 40)), "none", pixel_boxes=True)
    np.testing.assert_array_equal(image.to_numpy().boxes, [[1, 2, 37, 26]])


def test_nothing_found_is_empty_arrays_and_empty_detections() -> None:
    arrays = NOTHING.to_numpy()
    assert arrays.boxes.shape == (0, 4)
    assert (len(arrays.scores), len(arrays.labels), arrays.masks) == (0, 0, None)
    assert len(NOTHING.to_supervision()) == 0


@pytest.mark.parametrize("form", ["rle", "outline", "polygon", "none"])
def test_supervision_draws_and_filters_what_was_found(form: str) -> None:
    masks = blobs(3, 2, (30, 40))
    found = seen(masks, form).to_supervision()
    assert found["class_name"].tolist() == ["can", "carton"]
    np.testing.assert_allclose(found.confidence, [0.9, 0.5], rtol=1e-6)
    assert (found.mask is None) == (form == "none")
    (kept,) = found[found.confidence > 0.6].class_id
    assert kept == 0
    scene = np.zeros((30, 40, 3), np.uint8)
    assert supervision.BoxAnnotator().annotate(scene.copy(), found).any()
    if form != "none":
        assert supervision.MaskAnnotator().annotate(scene.copy(), found).any()


def test_masks_are_left_out_where_they_are_not_wanted() -> None:
    image = seen(blobs(3, 2, (30, 40)), "rle")
    assert image.to_numpy(masks=False).masks is None
    assert image.to_supervision(masks=False).mask is None


def test_coco_reads_what_is_written_for_it() -> None:
    mask = np.tri(30, 40, dtype=np.bool_)  # COCO knows no holes
    (entry,) = seen([mask], "rle").to_coco(3, {"can": 9})
    segmentation = entry["segmentation"]
    assert isinstance(segmentation, dict)
    np.testing.assert_array_equal(coco.decode(segmentation).astype(bool), mask)
    assert (entry["image_id"], entry["category_id"]) == (3, 9)
    (drawn,) = seen([mask], "outline").to_coco()
    rings = drawn["segmentation"]
    assert isinstance(rings, list)
    np.testing.assert_array_equal(
        coco.decode(coco.merge(coco.frPyObjects(rings, 30, 40))).astype(bool), mask
    )
