"""What `boxyard evaluate` reads and judges, before and after the queue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pycocotools import mask as rle

from boxyard_producer.evaluation import FIGURES, Findings, Truth, judge
from boxyard_schemas import (
    Box,
    Detection,
    ImageFailure,
    ImageInfo,
    ImageSuccess,
    PixelBox,
    Provenance,
    RleMask,
)
from boxyard_schemas.errors import InvalidRequest, ServiceError
from boxyard_schemas.installation import install_command

PROVENANCE = Provenance(
    model="m", weights_sha256="1", config_sha256="2", device="cpu", precision="fp32", versions={}
)
SQUARE: list[list[int]] = [[10, 10, 50, 10, 50, 50, 10, 50]]


def annotation(number: int, image: int, **more: Any) -> dict[str, Any]:
    """A square of 40 pixels."""
    box = {"bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0, "segmentation": SQUARE}
    return {"id": number, "image_id": image, "category_id": 7, **box, **more}


def write(folder: Path, **parts: Any) -> Path:
    """Two pictures of 100 x 80 with a square each."""
    images = [
        {"id": each, "file_name": f"{each}.jpg", "width": 100, "height": 80} for each in (1, 2)
    ]
    annotations = [annotation(1, image=1), annotation(2, image=2)]
    categories = [{"id": 7, "name": "red"}, {"id": 9, "name": "green"}]
    file = {"images": images, "annotations": annotations, "categories": categories, **parts}
    (folder / "truth.json").write_text(json.dumps(file))
    for image in images:
        Image.new("RGB", (100, 80)).save(folder / f"{image['id']}.jpg")
    return folder / "truth.json"


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    return Truth.read(write(tmp_path), tmp_path)


def found(*corners: float, label: str = "red", score: float = 0.9, masks: bool = True) -> Detection:
    x1, y1, x2, y2 = corners
    polygon = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    counts = rle.frPyObjects(polygon, 80, 100)[0]["counts"].decode()
    return Detection(
        box=Box(topX=0, topY=0, bottomX=1, bottomY=1),
        label=label,
        label_id=0,
        score=score,
        mask=RleMask(size=(80, 100), counts=counts) if masks else None,
        pixel_box=PixelBox(x1=x1, y1=y1, x2=x2, y2=y2),
    )


def seen(*detections: Detection, width: int = 100, height: int = 80) -> ImageSuccess:
    image = ImageInfo(width=width, height=height, sha256="0" * 64)
    return ImageSuccess(boxes=detections, image=image)


def collected(truth: Truth, *outcomes: ImageSuccess | ImageFailure) -> Findings:
    findings = Findings(truth)
    # In another order than the file's: jobs end as they please.
    for picture, outcome in reversed(list(zip(truth.pictures, outcomes, strict=True))):
        findings.add(picture, outcome, PROVENANCE)
    return findings


def test_what_agrees_with_the_truth_is_worth_one(truth: Truth) -> None:
    findings = collected(truth, seen(found(10, 10, 50, 50)), seen(found(10, 10, 50, 50)))
    for kind in ("bbox", "segm"):
        figures = judge(truth, findings.results(), kind)
        assert tuple(figures) == FIGURES
        assert figures["AP"] == figures["AP50"] == figures["APm"] == pytest.approx(1)
        assert figures["APs"] is None


def test_boxes_and_masks_are_judged_apart(truth: Truth) -> None:
    right, narrow = found(10, 10, 50, 50), found(10, 10, 24, 50)
    mixed = right.model_copy(update={"mask": narrow.mask})
    results = collected(truth, seen(mixed), seen(mixed)).results()
    assert judge(truth, results, "bbox")["AP"] == pytest.approx(1)
    assert judge(truth, results, "segm")["AP"] == 0


def test_a_mask_is_as_large_as_it_is_and_not_as_its_box(truth: Truth) -> None:
    # Of medium size are the squares and the wrong one's box; its mask is small.
    wrong = found(60, 10, 70, 20, score=0.95)
    wrong = wrong.model_copy(update={"pixel_box": PixelBox(x1=50, y1=0, x2=100, y2=80)})
    both = seen(wrong, found(10, 10, 50, 50))
    results = collected(truth, both, both).results()
    assert judge(truth, results, "segm")["APm"] == pytest.approx(1)
    assert judge(truth, results, "bbox")["APm"] == pytest.approx(0.5)


def test_one_of_two_found_is_half_the_recall(truth: Truth) -> None:
    failed = ImageFailure(code="undecodable-image", detail="this is no picture")
    findings = collected(truth, seen(found(10, 10, 50, 50)), failed)
    assert judge(truth, findings.results(), "bbox")["AR100"] == 0.5
    assert [picture.id for picture in findings.failures] == [2]


def test_nothing_found_is_zero_and_no_error(truth: Truth) -> None:
    assert judge(truth, collected(truth, seen(), seen()).results(), "bbox")["AP"] == 0


def test_results_are_cocos_in_pixels_without_loss_and_in_the_files_order(truth: Truth) -> None:
    x1, x2 = 10.123456954956055, 50.98765563964844  # as float32 gives them
    findings = collected(truth, seen(found(x1, 10, x2, 50)), seen(found(1, 2, 3, 4, label="green")))
    first, second = json.loads(json.dumps(findings.results()))
    assert first["bbox"] == [x1, 10, x2 - x1, 40]
    assert (first["image_id"], first["category_id"], first["score"]) == (1, 7, 0.9)
    assert first["segmentation"]["size"] == [80, 100]
    assert (second["image_id"], second["category_id"]) == (2, 9)


def test_a_limit_judges_the_first_pictures_alone(tmp_path: Path) -> None:
    truth = Truth.read(write(tmp_path), tmp_path, limit=1)
    assert [picture.id for picture in truth.pictures] == [1]
    findings = collected(truth, seen(found(10, 10, 50, 50)))
    assert judge(truth, findings.results(), "bbox")["AR100"] == 1


def test_annotations_without_masks_ask_for_none(tmp_path: Path) -> None:
    file = write(tmp_path, annotations=[annotation(1, image=1, segmentation=[])])
    assert not Truth.read(file, tmp_path).has_masks


def test_labels_that_the_file_does_not_have_are_named(truth: Truth) -> None:
    with pytest.raises(InvalidRequest, match=r"labels blue are no categories .* has red, green"):
        collected(truth, seen(found(1, 1, 2, 2, label="blue")), seen())


def test_another_picture_under_the_same_name_is_noticed(truth: Truth) -> None:
    with pytest.raises(InvalidRequest, match=r"2\.jpg has 80x100 pixels.*100x80"):
        collected(truth, seen(), seen(width=80, height=100))


def test_without_the_extra_its_name_is_said(tmp_path: Path) -> None:
    without = "import sys; sys.modules['pycocotools'] = None\n"
    program = f"{without}from boxyard_producer.cli import main; main()"
    words = ["evaluate", "--model", "m", "--annotations", "none.json", "--images", "."]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert install_command("evaluate") in done.stderr


def test_a_server_that_gives_no_pixels_is_not_guessed_at(truth: Truth) -> None:
    without = found(1, 1, 2, 2).model_copy(update={"pixel_box": None})
    with pytest.raises(ServiceError, match="no pixel box"):
        collected(truth, seen(without), seen())


@pytest.mark.parametrize("x1", [float("nan"), float("inf")])
def test_a_box_of_the_server_that_is_not_finite_is_refused(truth: Truth, x1: float) -> None:
    box = found(1, 1, 2, 2).model_copy(update={"pixel_box": PixelBox(x1=x1, y1=1, x2=2, y2=2)})
    with pytest.raises(ServiceError, match=r"1\.jpg that is no finite number"):
        collected(truth, seen(box), seen())


@pytest.mark.parametrize(
    "mask",
    [
        RleMask(size=(80, 100), counts="oooo"),
        RleMask(size=(80, 100), counts="5"),
        RleMask(size=(100, 80), counts=found(1, 1, 2, 2).mask.counts),  # type: ignore[union-attr]
    ],
    ids=["endless", "short", "transposed"],
)
@pytest.mark.timeout(20)
def test_a_damaged_mask_of_the_server_is_refused(truth: Truth, mask: RleMask) -> None:
    damaged = found(1, 1, 2, 2).model_copy(update={"mask": mask})
    with pytest.raises(ServiceError, match=r"damaged mask for 1\.jpg"):
        collected(truth, seen(damaged), seen())
