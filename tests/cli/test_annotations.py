"""Annotation files that are damaged: repaired without a guess, or refused before a job is sent."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle

from boxyard_producer.evaluation import Truth
from boxyard_producer.evaluation.masks import decode_runs, encode
from boxyard_producer.evaluation.remarks import Malformed
from boxyard_schemas.errors import InvalidRequest

from .coco_sets import HEIGHT, NAMES, WIDTH, Set, draw, expected, judged, lay_out

PIXELS = WIDTH * HEIGHT
Damage = Callable[[Set, random.Random], Any]
property_test = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def text_of_numbers(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        name = chance.choice(["bbox", "area", "id", "image_id", "category_id", "iscrowd"])
        value = each[name]
        each[name] = [str(side) for side in value] if name == "bbox" else f" {value} "


def text_in_masks(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        mask = each["segmentation"]
        if isinstance(mask, list):
            each["segmentation"] = [list(map(str, part)) for part in mask]
        elif isinstance(mask["counts"], list):
            mask["counts"] = list(map(str, mask["counts"]))


def text_of_image_numbers(truth: Set, chance: random.Random) -> None:
    for each in truth["images"]:
        each |= {"id": f"{each['id']:012d}", "width": str(each["width"]), "height": float(HEIGHT)}


def ids_with_fractions(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        each |= {"image_id": float(each["image_id"]), "category_id": float(each["category_id"])}


def no_crowd_flags(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        if not each["iscrowd"]:
            each["iscrowd"] = chance.choice([None, False])
            if chance.random() < 0.5:
                del each["iscrowd"]
        else:
            each["iscrowd"] = True


def no_areas(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        each["area"] = chance.choice([None, 0, "0"])
        if chance.random() < 0.5:
            del each["area"]


def no_boxes(truth: Set, chance: random.Random) -> None:
    for each in chance.sample(truth["annotations"], 5):
        del each["bbox"]


def no_annotation_ids(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        del each["id"]


def ids_from_0(truth: Set, chance: random.Random) -> None:
    for part in ("annotations", "categories", "images"):
        for each in truth[part]:
            each["id"] -= 1
    for each in truth["annotations"]:
        each |= {"image_id": each["image_id"] - 1, "category_id": each["category_id"] - 1}
    for each in truth["images"]:
        each["file_name"] = f"./{each['id']}.png"


def flat_polygons(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        if isinstance(each["segmentation"], list) and len(each["segmentation"]) == 1:
            (each["segmentation"],) = each["segmentation"]


def no_sizes(truth: Set, chance: random.Random) -> None:
    for each in truth["images"]:
        del each["width"], each["height"]


def root_category(truth: Set, chance: random.Random) -> None:
    name = chance.choice(["", None, NAMES[0], "objects"])
    root = {"id": 0, "name": name, "supercategory": "none"}
    truth["categories"].insert(chance.randrange(3), root)


def without_the_rest(truth: Set, chance: random.Random) -> None:
    del truth["info"], truth["licenses"]


REPAIRABLE: tuple[Damage, ...] = (
    text_of_numbers, text_in_masks, text_of_image_numbers, ids_with_fractions, no_crowd_flags,
    no_areas, no_boxes, no_annotation_ids, flat_polygons, no_sizes, root_category, without_the_rest,
)  # fmt: skip
SILENT = {ids_with_fractions, without_the_rest}


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
    for damage in sorted(damages, key=REPAIRABLE.index, reverse=True):
        if damage is text_of_numbers and {no_areas, no_crowd_flags, no_boxes, no_annotation_ids,
                                          ids_with_fractions} & damages:  # fmt: skip
            continue  # both change the same values
        if damage is text_in_masks and flat_polygons in damages:
            continue
        if damage is text_of_image_numbers and no_sizes in damages:
            continue
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


def annotation(**changes: Any) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        each = chance.choice(truth["annotations"])
        each |= changes
        return [f"annotation {each['id']} ", f"image {each['image_id']}"]

    return damage


def reference(**changes: Any) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        each = chance.choice(truth["annotations"])
        each |= changes
        ((name, value),) = changes.items()
        return [f"annotation {each['id']}", name, str(value)]

    return damage


def missing(name: str) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        each = chance.choice(truth["annotations"])
        del each[name]
        return [f"annotation {each['id']}", name]

    return damage


def image(**changes: Any) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        each = chance.choice(truth["images"])
        each |= changes
        return [f"image {each['id']}"]

    return damage


def counted_from_0(part: str) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        for each in truth["annotations"]:
            each[f"{part}_id"] -= 1
        return [f"{part}_id 0", "counted from 0 or from 1"]

    return damage


def twice(part: str, **changes: Any) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        truth[part].append(chance.choice(truth[part]) | changes)
        return ["Several"]

    return damage


def corners(truth: Set, chance: random.Random) -> list[str]:
    for each in truth["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x, y, x + width, y + height]
    return ["x1, y1, x2, y2", "annotation"]


def shares(truth: Set, chance: random.Random) -> list[str]:
    for each in truth["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT]
    return ["shares of the image", "annotation"]


def lengths(counts: Any, size: Any = (HEIGHT, WIDTH)) -> Damage:
    return annotation(segmentation={"size": list(size), "counts": counts})


def damaged_text(truth: Set, chance: random.Random) -> list[str]:
    """A compressed mask without its last character."""
    each = chance.choice(truth["annotations"])
    mask = rle.frPyObjects([[10, 10, 50, 10, 50, 50, 10, 50]], HEIGHT, WIDTH)[0]
    each["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode()[:-1]}
    return [f"annotation {each['id']} "]


NAN, INFINITE = float("nan"), float("inf")
SQUARE = [10, 10, 50, 10, 50, 50, 10, 50]
REFUSED: dict[str, Damage] = {
    "nan-box": annotation(bbox=[1, 2, NAN, 4]),
    "infinite-box": annotation(bbox=[1, 2, 3, INFINITE]),
    "nan-as-text": annotation(bbox=[1, 2, "nan", 4]),
    "comma": annotation(bbox=["1,5", 2, 3, 4]),
    "huge": annotation(bbox=[1, 2, 10**400, 4]),
    "true": annotation(bbox=[1, 2, True, 4]),
    "negative-width": annotation(bbox=[50, 2, -3, 4]),
    "no-height": annotation(bbox=[5, 2, 3, 0]),
    "three-sides": annotation(bbox=[5, 2, 3]),
    "box-object": annotation(bbox={"x": 5}),
    "outside": annotation(bbox=[WIDTH, 2, 3, 4]),
    "left-of-it": annotation(bbox=[-9, 2, 3, 4]),
    "no-box-nor-mask": annotation(bbox=None, segmentation=None),
    "nan-area": annotation(area=NAN),
    "negative-area": annotation(area=-5),
    "crowd-2": annotation(iscrowd=2),
    "crowd-text": annotation(iscrowd="yes"),
    "no-image-id": missing("image_id"),
    "no-category-id": missing("category_id"),
    "image-half": reference(image_id=1.5),
    "image-name": reference(image_id="1.png"),
    "orphan": reference(image_id=99),
    "orphan-category": reference(category_id=99),
    "images-from-0": counted_from_0("image"),
    "categories-from-0": counted_from_0("category"),
    "twin-annotation": twice("annotations"),
    "twin-image": twice("images", file_name="other.png"),
    "twin-file": twice("images", id=50),
    "twin-file-spelled-otherwise": twice("images", id=50, file_name="././1.png"),
    "twin-category": twice("categories", name="other"),
    "corners": corners,
    "shares": shares,
    "odd": annotation(segmentation=[SQUARE[:-1]]),
    "two-points": annotation(segmentation=[SQUARE, SQUARE[:4]]),
    "nan-polygon": annotation(segmentation=[[*SQUARE[:-1], NAN]]),
    "points": annotation(segmentation=[[[10, 10], [50, 10], [50, 50]]]),
    "mixed": annotation(segmentation=[SQUARE, 5]),
    "empty-polygon": annotation(segmentation=[SQUARE, []]),
    "text-polygon": annotation(segmentation=["10 10 50 10 50 50"]),
    "text-mask": annotation(segmentation="none"),
    "far": annotation(segmentation=[[10, 10, 1e9, 10, 50, 50]]),
    "to-and-fro": annotation(segmentation=[[1, 1, 100, 80] * 1000]),
    "no-counts": lengths(None),
    "short": lengths([5, 10]),
    "long": lengths([PIXELS, 10]),
    "negative-run": lengths([PIXELS + 10, -10]),
    "half-run": lengths([PIXELS - 0.5, 0.5]),
    "huge-run": lengths([1e300]),
    "transposed": lengths([PIXELS], size=(WIDTH, HEIGHT)),
    "other-size": lengths([100], size=(10, 10)),
    "text-empty": lengths(""),
    "text-cut": damaged_text,
    "text-foreign": lengths("\u20ac5"),
    "text-surrogate": lengths("\ud800"),
    "text-endless": lengths("o" * 500),
    "text-negative": lengths("K5"),
    "no-width": image(width=0),
    "one-side": image(width=None),
    "other-image": image(width=HEIGHT, height=WIDTH),
    "no-image": image(file_name="away.png"),
    "escape": image(file_name="../1.png"),
    "escape-within": image(file_name="a/../../1.png"),
    "absolute": image(file_name="/etc/hostname"),
    "folder": image(file_name="."),
    "no-file-name": image(file_name=None),
    "odd-file-name": image(file_name="\ud800\u0007\u0000"),
    "image-id-text": image(id="one"),
}


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
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(InvalidRequest, match=said):
        Truth.read(tmp_path / "truth.json", tmp_path)


def test_several_used_categories_of_one_name_are_refused(tmp_path: Path) -> None:
    clean, _ = draw(seed=2)
    clean["categories"][1]["name"] = clean["categories"][0]["name"]
    with pytest.raises(InvalidRequest, match="same name have annotations: category 2"):
        Truth.read(lay_out(tmp_path, clean), tmp_path)


NASTY = (
    None, True, -1, 0, 1, 0.5, 1e308, NAN, INFINITE, 10**400, "", "1", "x", "nan", [], [[]], {},
    [1], ["1", 2, 3, 4], [1, 2, 3, 4], [[1, 2, 3, 4, 5, 6]], [[[1, 2], [3, 4]]], [NAN] * 4,
    {"size": [HEIGHT, WIDTH], "counts": "oo"}, {"size": [HEIGHT, WIDTH], "counts": [PIXELS]},
    {"counts": 5}, "../1.png",
)  # fmt: skip


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


def test_beyond_the_limit_nothing_needs_to_be_right(tmp_path: Path) -> None:
    clean, _ = draw(seed=5)
    clean["images"][3]["width"] = -1
    for each in clean["annotations"]:
        if each["image_id"] == 4:
            each["bbox"] = "none"
    truth = Truth.read(lay_out(tmp_path, clean), tmp_path, limit=3)
    assert [picture.id for picture in truth.pictures] == [1, 2, 3]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_on_its_side_has_the_size_that_the_service_reads(
    tmp_path: Path, form: str
) -> None:
    clean, _ = draw(seed=6)
    file = lay_out(tmp_path, clean)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "2.png", form, exif=exif)
    assert len(Truth.read(file, tmp_path).pictures) == 4
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "2.png", form, exif=exif)
    with pytest.raises(InvalidRequest, match=r"image 2 \(2.png\): 90x120 and not 120x90.*EXIF"):
        Truth.read(file, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01\0"])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    clean, _ = draw(seed=6)
    file = lay_out(tmp_path, clean)
    (tmp_path / "2.png").write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"image 2 \(2.png\)"):
        Truth.read(file, tmp_path)


def test_file_names_may_be_whole_paths_into_the_folder(tmp_path: Path) -> None:
    clean, _ = draw(seed=6)
    for each in clean["images"]:
        each["file_name"] = str(tmp_path / each["file_name"])
    assert len(Truth.read(lay_out(tmp_path, clean), tmp_path).pictures) == 4


def test_images_may_be_links_to_elsewhere(tmp_path: Path) -> None:
    clean, _ = draw(seed=6)
    (folder := tmp_path / "links").mkdir()
    file = lay_out(tmp_path, clean)
    for each in clean["images"]:
        os.symlink(tmp_path / each["file_name"], folder / each["file_name"])
    assert len(Truth.read(file, folder).pictures) == 4


@property_test
@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_run_lengths_are_read_as_pycocotools_writes_them(runs: list[int]) -> None:
    if not sum(runs):
        runs = [1]
    size = [sum(runs), 1]
    written = rle.frPyObjects({"size": size, "counts": runs}, *size)["counts"].decode()
    assert decode_runs(written).tolist() == runs
    pixels = np.repeat(np.arange(len(runs)) % 2, runs)
    again = encode(decode_runs(written), width=1, height=size[0])
    assert rle.decode(again)[:, 0].tolist() == pixels.tolist()


@property_test
@given(st.text(alphabet=[chr(code) for code in range(47, 113)], max_size=12))
def test_any_text_is_run_lengths_of_the_whole_image_or_refused(text: str) -> None:
    try:
        mask = encode(decode_runs(text), width=9, height=7)
    except Malformed:
        return
    assert rle.decode(mask).shape == (7, 9)


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
