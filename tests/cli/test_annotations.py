"""Annotation files that are damaged: repaired without a guess, or refused before a job is sent."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxyard_producer.evaluation import Truth
from boxyard_schemas.errors import InvalidRequest

from .coco_damages import (
    CLASHES,
    NAN,
    NASTY,
    PIXELS,
    REFUSED,
    REPAIRABLE,
    SILENT,
    Damage,
    ids_from_0,
)
from .coco_sets import HEIGHT, NAMES, WIDTH, Set, draw, expected, judged, lay_out

property_test = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def found_again(truth: Truth, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with this file's ids: what the service finds has names, not ids."""
    images = {int(picture.path.stem): picture.id for picture in truth.pictures}
    shift = min(images.values()) - min(images)
    return [
        each
        | {
            "image_id": each["image_id"] + shift,
            "category_id": truth.categories[NAMES[each["category_id"] - 1]],
        }
        for each in results
    ]


def same(truth: Truth, clean: Set, results: list[dict[str, Any]]) -> None:
    for kind in ("bbox", "segm"):
        ours = judged(truth, found_again(truth, results), kind)
        assert ours == pytest.approx(expected(clean, results, kind), abs=1e-12)


@property_test
@given(seed=st.integers(0, 2**32), damages=st.sets(st.sampled_from(REPAIRABLE)))
def test_a_repaired_file_is_judged_as_pycocotools_judges_the_clean_one(
    tmp_path: Path, seed: int, damages: set[Damage]
) -> None:
    clean, results = draw(seed)
    damaged, chance = copy.deepcopy(clean), random.Random(seed)
    for damage in sorted(damages, key=REPAIRABLE.index):
        if not CLASHES.get(damage, set()) & damages:
            damage(damaged, chance)
    truth = Truth.read(lay_out(tmp_path, clean, json.dumps(damaged).encode()), tmp_path)
    same(truth, clean, results)


@pytest.mark.parametrize("damage", REPAIRABLE)
def test_each_repair_is_said_and_changes_no_figure(tmp_path: Path, damage: Damage) -> None:
    clean, results = draw(seed=5)
    damaged = copy.deepcopy(clean)
    damage(damaged, random.Random(3))
    truth = Truth.read(lay_out(tmp_path, clean, json.dumps(damaged).encode()), tmp_path)
    same(truth, clean, results)
    assert bool(truth.repairs) == (damage not in SILENT)


def test_a_match_with_the_annotation_0_counts(tmp_path: Path) -> None:
    clean, results = draw(seed=6)
    damaged = copy.deepcopy(clean)
    ids_from_0(damaged, random.Random(1))
    truth = Truth.read(lay_out(tmp_path, damaged), tmp_path)
    shifted = [
        each | {"image_id": each["image_id"] - 1, "category_id": each["category_id"] - 1}
        for each in results
    ]
    for kind in ("bbox", "segm"):
        wanted = expected(clean, results, kind)
        assert judged(truth, shifted, kind) == pytest.approx(wanted, abs=1e-12)
    assert any("annotation 0" in repair for repair in truth.repairs)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, encoding: str) -> None:
    clean, results = draw(seed=7)
    same(
        Truth.read(lay_out(tmp_path, clean, json.dumps(clean).encode(encoding)), tmp_path),
        clean,
        results,
    )


@pytest.mark.parametrize("damage", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.timeout(20)
def test_what_only_a_guess_could_repair_is_refused_with_its_ids(
    tmp_path: Path, damage: Damage
) -> None:
    for seed in range(3):
        clean, _ = draw(seed)
        damaged = copy.deepcopy(clean)
        named = damage(damaged, random.Random(seed))
        file = lay_out(tmp_path, clean, json.dumps(damaged).encode())
        with pytest.raises(InvalidRequest) as refused:
            Truth.read(file, tmp_path)
        assert str(file) in refused.value.detail
        for word in named:
            assert word in refused.value.detail
        assert refused.value.detail.encode()


def test_every_fault_is_said_at_once_and_each_names_few_records(tmp_path: Path) -> None:
    clean, _ = draw(seed=1)
    damaged = copy.deepcopy(clean)
    for each in damaged["annotations"][:9]:
        each["bbox"] = [1, 2, NAN, 4]
    damaged["annotations"][9]["iscrowd"] = 7
    with pytest.raises(InvalidRequest) as refused:
        Truth.read(lay_out(tmp_path, damaged), tmp_path)
    first, box, crowd = refused.value.detail.splitlines()
    assert "cannot be used" in first
    assert box.endswith("annotation 3 (image 4): nan and 6 more.")
    assert "annotation 10 (image 3)" in crowd


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "invalid JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("[]", "it holds a list"),
        ('{"images": 1, "images": 2}', "an object has images more than once"),
        ('{"images": [{"id": 7, "width": 1, "width": 2}]}', "id is 7, has width more than once"),
        ('{"image_id": 1}\n{"image_id": 2}\n', "JSON Lines"),
        ('{"images": ' + "9" * 5000 + "}", "a number of thousands of digits"),
        ("<annotation></annotation>", "it is an XML document"),
        ("version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        ("\x1f\x8b\x08", "it is compressed by gzip"),
        ('{"name": "gr\xfcn"}', "it is not UTF-8"),
        ("{}", "`images` is missing"),
        ('{"images": {}, "categories": [], "annotations": []}', "`images` is an object"),
        ('{"images": [5], "categories": [], "annotations": []}', "`categories` is empty"),
        ('{"images": [5], "categories": [6], "annotations": []}', "`annotations` is empty"),
        (
            '{"images": [5], "categories": [6], "annotations": [7]}',
            "Not an object: .*image number 1",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "truth.json").write_text(content, "latin-1")
    with pytest.raises(InvalidRequest, match=said):
        Truth.read(tmp_path / "truth.json", tmp_path)


def test_several_used_categories_of_one_name_are_refused(tmp_path: Path) -> None:
    clean, _ = draw(seed=2)
    clean["categories"][1]["name"] = clean["categories"][0]["name"]
    with pytest.raises(InvalidRequest, match="same name have annotations: category 2"):
        Truth.read(lay_out(tmp_path, clean), tmp_path)


@property_test
@given(
    seed=st.integers(0, 99),
    changes=st.lists(
        st.tuples(
            st.sampled_from(["images", "categories", "annotations"]),
            st.integers(0, 2),
            st.integers(0, 9),
            st.sampled_from(NASTY),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_any_file_is_refused_or_judged_to_the_end(
    tmp_path: Path, seed: int, changes: list[tuple[str, int, int, Any]]
) -> None:
    clean, results = draw(seed)
    damaged = copy.deepcopy(clean)
    for part, entry, place, value in changes:
        names = sorted(damaged[part][entry])
        damaged[part][entry][names[place % len(names)]] = value
    try:
        truth = Truth.read(lay_out(tmp_path, clean, json.dumps(damaged).encode()), tmp_path)
    except InvalidRequest:
        return
    known = {picture.id for picture in truth.pictures}
    found = [each for each in results if each["image_id"] in known]
    for kind in ("bbox", "segm") if truth.has_masks else ("bbox",):
        assert all(-1 <= figure <= 1 for figure in judged(truth, found, kind).values())


def test_boxes_that_lead_out_of_an_image_are_judged_as_they_are_and_named(tmp_path: Path) -> None:
    clean, results = draw(seed=3)
    clean["annotations"][3]["bbox"] = [100, 60, 40, 40]
    clean["annotations"][4]["bbox"] = [-0.5, 60, 40, 30]  # by rounding
    truth = Truth.read(lay_out(tmp_path, clean), tmp_path)
    assert truth.repairs == (
        "`bbox` is not the box around the mask; both are judged as they are: "
        "annotation 4 (image 1), annotation 5 (image 2).",
        "Boxes that lead out of their images are judged as they are: annotation 4 (image 1).",
    )
    same(truth, clean, results)


def test_an_annotation_without_a_mask_is_named_where_others_have_one(tmp_path: Path) -> None:
    clean, _ = draw(seed=4)
    clean["annotations"][4]["segmentation"] = []
    truth = Truth.read(lay_out(tmp_path, clean), tmp_path)
    assert not truth.has_masks
    (said,) = truth.repairs
    assert said.startswith("Boxes alone are judged, not masks")
    assert "annotation 5 (image 2)" in said


def test_a_mask_without_a_pixel_is_named(tmp_path: Path) -> None:
    clean, _ = draw(seed=4)
    clean["annotations"][4]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [PIXELS]}
    (said,) = Truth.read(lay_out(tmp_path, clean), tmp_path).repairs
    assert said.startswith("Masks without a pixel")


def test_polygons_in_percent_are_named_in_a_set_of_two(tmp_path: Path) -> None:
    clean, _ = draw(seed=4)
    del clean["annotations"][2:]
    for each in clean["annotations"]:
        each |= {"bbox": [60, 50, 40, 30], "segmentation": [[50, 56, 83, 56, 83, 89]]}
    with pytest.raises(InvalidRequest, match=r"Polygons seem to be in percent.*: annotation 1 "):
        Truth.read(lay_out(tmp_path, clean), tmp_path)


def test_polygons_in_shares_are_named_without_boxes_too(tmp_path: Path) -> None:
    clean, _ = draw(seed=4)
    for each in clean["annotations"]:
        each |= {"bbox": None, "segmentation": [[0.2, 0.2, 0.7, 0.2, 0.7, 1]]}
    with pytest.raises(InvalidRequest, match="Polygons seem to be in shares"):
        Truth.read(lay_out(tmp_path, clean), tmp_path)


def test_annotations_that_occur_again_are_judged_and_named(tmp_path: Path) -> None:
    clean, results = draw(seed=4)
    clean["annotations"] += [each | {"id": 500 + each["id"]} for each in clean["annotations"][:4]]
    truth = Truth.read(lay_out(tmp_path, clean), tmp_path)
    same(truth, clean, results)
    (said,) = truth.repairs
    assert said.startswith("Annotations with the same image, category and box")
    assert "annotation 1 (image 2) and annotation 501 (image 2)" in said
    assert said.endswith("and 1 more.")


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("scale", [1 / PIXELS, 100 / PIXELS, 100])
def test_areas_in_another_unit_are_computed_anew_and_named(
    tmp_path: Path, scale: float, masks: bool
) -> None:
    clean, results = draw(seed=4)
    for each in clean["annotations"]:
        if not masks:
            del each["segmentation"]
            each["area"] = each["bbox"][2] * each["bbox"][3]
    damaged = copy.deepcopy(clean)
    for each in damaged["annotations"]:
        each["area"] *= scale
    truth = Truth.read(lay_out(tmp_path, damaged), tmp_path)
    (said,) = truth.repairs
    assert said.startswith("`area` was not in pixels")
    assert "annotation 1 (image 2)" in said
    assert judged(truth, results, "bbox") == pytest.approx(expected(clean, results, "bbox"))


def test_an_area_within_its_box_is_judged_as_it_is(tmp_path: Path) -> None:
    clean, results = draw(seed=4)
    for each in clean["annotations"]:
        each["area"] = (each["bbox"][2] + 1) * (each["bbox"][3] + 1)  # last pixels included
    truth = Truth.read(lay_out(tmp_path, clean), tmp_path)
    assert truth.repairs == ()
    same(truth, clean, results)


def test_beyond_the_limit_nothing_needs_to_be_right(tmp_path: Path) -> None:
    clean, _ = draw(seed=5)
    clean["images"][3]["width"] = -1
    for each in clean["annotations"]:
        if each["image_id"] == 4:
            each["bbox"] = "none"
    truth = Truth.read(lay_out(tmp_path, clean), tmp_path, limit=3)
    assert [picture.id for picture in truth.pictures] == [1, 2, 3]


@pytest.fixture
def colours(tmp_path: Path) -> tuple[Set, Callable[[], Truth]]:
    clean, _ = draw(seed=8)
    return clean, lambda: Truth.read(lay_out(tmp_path, clean), tmp_path)


def test_labels_that_differ_in_spelling_are_shown(colours: Any) -> None:
    truth, read = colours
    truth["categories"][1]["name"] = "Light Green"
    with pytest.raises(InvalidRequest, match="'light_green' and 'Light Green'"):
        read().check_model(["red", "light_green", "blue"])


def test_categories_that_the_model_does_not_know_are_said(colours: Any) -> None:
    _, read = colours
    (said,) = read().check_model(["red", "blue"])
    assert "no label green" in said
    assert read().check_model(NAMES) == ()


@pytest.mark.parametrize("change", [{"iscrowd": 1}, {"category_id": 3}])
def test_a_set_of_which_nothing_could_match_is_refused(
    colours: Any, change: dict[str, int]
) -> None:
    truth, read = colours
    for each in truth["annotations"]:
        each.update(change)
    with pytest.raises(InvalidRequest, match="Nothing could be judged"):
        read().check_model(["red", "green"])
