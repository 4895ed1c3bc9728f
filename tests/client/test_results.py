"""Results in other forms, as far as the base install goes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from boxyard_producer.client import Result, SeenImage
from boxyard_schemas import JobResult, new_id
from boxyard_schemas.installation import install_command

from .conftest import PROVENANCE

RESULT = {
    "job": new_id("job"),
    "images": [
        {"status": "failed", "code": "undecodable-image", "detail": "Cut short."},
        {
            "status": "succeeded",
            "reference": "yard.jpg",
            "image": {"width": 200, "height": 100, "sha256": "0" * 64},
            "boxes": [
                {
                    "box": {"topX": 0.1, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6},
                    "label": "can",
                    "label_id": 1,
                    "score": 0.9,
                    "polygon": [[0.1, 0.2, 0.5, 0.2, 0.5, 0.6]],
                },
                {
                    "box": {"topX": 0, "topY": 0, "bottomX": 1, "bottomY": 1},
                    "label": "carton",
                    "label_id": 0,
                    "score": 0.4,
                    "pixel_box": {"x1": -1, "y1": 0.5, "x2": 201, "y2": 99.5},
                    "mask": {"size": [100, 200], "counts": "PPkj00"},
                },
            ],
        },
    ],
    "provenance": PROVENANCE,
}
READ = Result.model_validate(RESULT)


def test_the_pictures_that_were_read_are_apart():
    assert READ.images[1:] == READ.seen
    assert isinstance(READ.seen[0], SeenImage)


def test_the_word_of_an_event_becomes_a_result_and_a_result_is_the_word():
    word = JobResult.model_validate(RESULT)
    assert Result.model_validate(word, from_attributes=True) == READ
    assert READ.model_dump_json() == word.model_dump_json()


def test_coco_has_boxes_in_pixels_and_the_mask_as_it_came():
    assert READ.seen[0].to_coco(7) == [
        {
            "image_id": 7,
            "category_id": 1,
            "bbox": pytest.approx([20, 20, 80, 40]),
            "score": 0.9,
            "segmentation": [pytest.approx([20, 20, 100, 20, 100, 60])],
        },
        {
            "image_id": 7,
            "category_id": 0,
            "bbox": [-1, 0.5, 202, 99],
            "score": 0.4,
            "segmentation": {"size": [100, 200], "counts": "PPkj00"},
        },
    ]


def test_coco_takes_the_categories_of_a_set():
    image = READ.seen[0]
    found = image.to_coco(categories={"can": 44, "carton": 3})
    assert [each["category_id"] for each in found] == [44, 3]
    with pytest.raises(KeyError, match="carton"):
        image.to_coco(categories={"can": 44})


@pytest.mark.parametrize(
    ("form", "missing", "extra"),
    [
        ("to_numpy", "numpy", "arrays"),
        ("to_supervision", "numpy", "supervision"),
        ("to_supervision", "supervision", "supervision"),
    ],
)
def test_a_form_whose_library_is_missing_says_what_to_install(form: str, missing: str, extra: str):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from boxyard_producer.client import Result\n"
        f"Result.model_validate_json(sys.stdin.read()).seen[0].{form}()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=READ.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()[-1]
    assert "SetupError: This form needs" in said
    assert said.endswith(f"{install_command(extra)}.")
