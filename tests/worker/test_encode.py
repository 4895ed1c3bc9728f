"""Detections leave in the words of the contract, masks exactly as COCO writes them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from boxyard_schemas import Detection, Parameters
from boxyard_worker.detect.encode import encode
from boxyard_worker.detector.contract import CroppedMask, RawDetections

CLASSES = ("carton", "can")


def found(*masks: NDArray[np.bool_], boxes: object = None, score: float = 0.5) -> RawDetections:
    count = len(masks) or 1
    corners = np.array(boxes if boxes is not None else [[1, 2, 3, 4]] * count, np.float32)
    return RawDetections(
        boxes=corners,
        scores=np.full(len(corners), score, np.float32),
        labels=np.ones(len(corners), np.int64),
        masks=tuple(CroppedMask.pack(mask) for mask in masks) if masks else None,
    )


def words(
    raw: RawDetections, width: int = 20, height: int = 10, **parameters: object
) -> tuple[Detection, ...]:
    chosen = Parameters.model_validate(parameters)
    return encode(raw, classes=CLASSES, parameters=chosen, width=width, height=height)


def test_boxes_are_divided_by_the_size_and_clipped() -> None:
    (one,) = words(found(boxes=[[-1, 5, 10, 12]]), pixel_boxes=True)
    assert one.box.model_dump() == {"topX": 0, "topY": 0.5, "bottomX": 0.5, "bottomY": 1}
    assert one.pixel_box is not None
    assert one.pixel_box.model_dump() == {"x1": -1, "y1": 5, "x2": 10, "y2": 12}
    assert (one.label, one.label_id, one.score) == ("can", 1, 0.5)
    assert one.polygon is None
    assert one.mask is None


def test_numbers_that_are_not_finite_drop_their_instance() -> None:
    raw = found(boxes=[[1, 2, float("nan"), 4], [1, 2, 3, 4]])
    assert len(words(raw)) == 1
    assert words(found(score=float("inf"))) == ()


def test_a_mask_becomes_a_polygon_around_it() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:9] = True
    (one,) = words(found(mask))
    assert one.polygon is not None
    points = {tuple(point) for point in np.array(one.polygon[0]).reshape(-1, 2).tolist()}
    assert points == {(0.2, 0.2), (0.2, 0.4), (0.4, 0.4), (0.4, 0.2)}


def test_segments_under_three_points_go_and_instances_left_with_none_too() -> None:
    dot, both = np.zeros((10, 20), bool), np.zeros((10, 20), bool)
    dot[3, 3] = True
    both[3, 3] = both[6:9, 6:9] = True
    assert words(found(dot)) == ()
    (one,) = words(found(both))
    assert one.polygon is not None
    assert len(one.polygon) == 1
    assert len(words(found(dot), masks="rle")) == 1
    assert len(words(found(dot), masks="none")) == 1


def make_mask(*rows: str) -> NDArray[np.bool_]:
    """Draws a mask: # is set."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.mark.parametrize("form", ["polygon", "outline"])
def test_holes_stand_beside_the_segments_and_an_island_in_one_is_a_segment(form: str) -> None:
    mask = make_mask("#######", "#.....#", "#.###.#", "#.###.#", "#.....#", "#######")
    (one,) = words(found(mask), 7, 6, masks=form)
    assert one.polygon is not None
    assert one.holes is not None
    assert (len(one.polygon), len(one.holes)) == (2, 1)
    (plain,) = words(found(np.ones((6, 7), bool)), 7, 6, masks=form)
    assert plain.holes is None


def test_a_straight_line_is_a_segment_from_three_pixels_on() -> None:
    assert words(found(make_mask("....", ".##.")), 4, 2) == ()
    (line,) = words(found(make_mask("....", ".###")), 4, 2)
    assert line.polygon == ((0.25, 0.5, 0.75, 0.5, 0.5, 0.5),)
    (slope,) = words(found(make_mask("#...", ".#..", "..#.", "...#")), 4, 4)
    assert slope.polygon == ((0.0, 0.0, 0.75, 0.75, 0.5, 0.5),)


def test_an_outline_goes_along_the_pixels_edges_and_exists_for_one_pixel_too() -> None:
    (one,) = words(found(make_mask("....", "..#.")), 4, 2, masks="outline")
    assert one.polygon == ((0.5, 0.5, 0.75, 0.5, 0.75, 1.0, 0.5, 1.0),)
    (apart,) = words(found(make_mask(".#", "#.")), 2, 2, masks="outline")
    assert apart.polygon is not None
    assert len(apart.polygon) == 2
    assert words(found(make_mask("..", "..")), 2, 2, masks="outline") == ()


masks = st.builds(
    lambda width, height, seed, share: np.random.default_rng(seed).random((height, width)) < share,
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 1 << 32),
    st.floats(0, 1),
)


def rings(one: Detection, mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Points in pixels of all segments, around parts and around holes."""
    height, width = mask.shape
    written = (*(one.polygon or ()), *(one.holes or ()))
    return [np.array(ring).reshape(-1, 2) * [width, height] for ring in written]


@given(masks)
def test_outlines_hold_the_mask_to_the_pixel_for_pycocotools(mask: NDArray[np.bool_]) -> None:
    height, width = mask.shape
    filled = np.zeros(mask.shape, np.uint8)
    for one in words(found(mask), width, height, masks="outline"):
        for ring in rings(one, mask):
            filled ^= coco.decode(coco.frPyObjects([ring.ravel().tolist()], height, width))[..., 0]
    assert (filled == mask).all()


@given(masks)
def test_polygons_are_what_the_cards_wrapper_makes_without_points_on_straight_lines(
    mask: NDArray[np.bool_],
) -> None:
    height, width = mask.shape
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    expected = [contour.reshape(-1, 2) for contour in contours if contour.size >= 6]
    made = [ring for one in words(found(mask), width, height) for ring in rings(one, mask)]
    assert sorted(map(draw, expected)) == sorted(map(draw, made))


def draw(ring: NDArray[np.float64]) -> bytes:
    canvas = np.zeros((12, 12), np.uint8)
    cv2.polylines(canvas, [np.rint(ring).astype(np.int32)], True, 1)
    return canvas.tobytes()


def check_rle(mask: NDArray[np.bool_]) -> None:
    height, width = mask.shape
    (one,) = words(found(mask), width, height, masks="rle")
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert one.mask is not None
    assert one.mask.size == (height, width)
    assert one.mask.counts == expected["counts"].decode()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1 << 32))
def test_run_lengths_equal_pycocotools(width: int, height: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    check_rle(generator.random((height, width)) < generator.random())


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_have_run_lengths_too(value: bool) -> None:
    check_rle(np.full((7, 5), value))


def test_runs_that_go_on_in_the_next_column_are_one_run() -> None:
    mask = np.zeros((6, 8), bool)
    mask[:, 2:5] = True
    check_rle(mask)
