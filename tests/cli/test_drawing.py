"""Pictures with what was found in them drawn on."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from boxyard_producer.drawing import decode, draw
from boxyard_schemas import ImageSuccess, RleMask

GREY = (128, 128, 128)


def encoded(size: tuple[int, int], **options: Any) -> bytes:
    stream = BytesIO()
    Image.new("RGB", size, GREY).save(stream, "PNG", **options)
    return stream.getvalue()


def outcome(size: tuple[int, int], *boxes: dict[str, Any]) -> ImageSuccess:
    info = {"width": size[0], "height": size[1], "sha256": "0"}
    return ImageSuccess.model_validate({"boxes": boxes, "image": info})


def found(label: str, label_id: int, corners: tuple[float, ...], **more: Any) -> dict[str, Any]:
    names = ("topX", "topY", "bottomX", "bottomY")
    box = dict(zip(names, corners, strict=True))
    return {"box": box, "label": label, "label_id": label_id, "score": 0.9, **more}


def test_a_box_is_drawn_where_it_was_found_and_nowhere_else():
    size = (200, 100)
    picture = draw(encoded(size), outcome(size, found("can", 2, (0.5, 0.5, 0.9, 0.9))))
    assert picture.size == size
    assert picture.getpixel((100, 70)) != GREY
    assert picture.getpixel((140, 70)) == GREY
    assert picture.getpixel((20, 90)) == GREY


def test_labels_have_colours_of_their_own():
    size = (200, 200)
    first, second = found("can", 2, (0.1, 0.5, 0.4, 0.9)), found("carton", 0, (0.6, 0.5, 0.9, 0.9))
    picture = draw(encoded(size), outcome(size, first, second))
    assert picture.getpixel((20, 140)) != picture.getpixel((120, 140))


def test_a_picture_that_lies_on_its_side_is_drawn_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = draw(encoded((200, 100), exif=exif), outcome((100, 200)))
    assert picture.size == (100, 200)


@pytest.mark.parametrize("form", ["polygon", "rle"])
def test_a_mask_veils_its_own_pixels(form: str):
    size = (100, 100)
    pixels = np.zeros((100, 100), np.uint8, order="F")
    pixels[60:80, 20:40] = 1
    rle = coco.encode(pixels)
    masks: dict[str, dict[str, Any]] = {
        "polygon": {"polygon": [[0.2, 0.6, 0.4, 0.6, 0.4, 0.8, 0.2, 0.8]]},
        "rle": {"mask": {"size": rle["size"], "counts": rle["counts"].decode()}},
    }
    picture = draw(
        encoded(size), outcome(size, found("can", 2, (0.1, 0.5, 0.9, 0.9), **masks[form]))
    )
    assert picture.getpixel((30, 70)) != GREY
    assert picture.getpixel((60, 70)) == GREY


def test_run_lengths_are_read_as_cocos_own_tools_read_them():
    random = np.random.default_rng(7)
    for height, width in [(1, 1), (3, 5), (64, 17), (120, 200)]:
        pixels = np.asfortranarray(random.random((height, width)) < 0.3, np.uint8)
        rle = coco.encode(pixels)
        mask = RleMask(size=(height, width), counts=rle["counts"].decode())
        assert (np.asarray(decode(mask)) == pixels * 255).all()


@pytest.mark.parametrize("mode", ["L", "P", "LA", "CMYK", "I;16"])
def test_every_mode_of_picture_can_be_drawn_on(mode: str):
    stream = BytesIO()
    Image.new(mode, (50, 40)).save(stream, "TIFF" if mode == "CMYK" else "PNG")
    assert draw(stream.getvalue(), outcome((50, 40), found("can", 2, (0, 0, 1, 1)))).mode == "RGB"


def test_a_hole_is_left_as_it_is_and_an_island_in_it_is_veiled():
    size, square = (100, 100), (0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9)
    hole, island = ([0.5 + (c - 0.5) * share for c in square] for share in (0.7, 0.3))
    mask = {"polygon": (square, island), "holes": (hole,)}
    picture = draw(encoded(size), outcome(size, found("can", 0, (0.05, 0.05, 1.0, 1.0), **mask)))
    assert picture.getpixel((16, 50)) != GREY
    assert picture.getpixel((30, 50)) == GREY
    assert picture.getpixel((50, 50)) != GREY
