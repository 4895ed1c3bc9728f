"""What may be wrong with an annotation file: each damage changes a set that `coco_sets` drew."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from pycocotools import mask as rle

from .coco_sets import HEIGHT, NAMES, WIDTH, Set

PIXELS = WIDTH * HEIGHT
Damage = Callable[[Set, random.Random], Any]
"""Changes a set in place; what cannot be repaired returns words of its refusal."""


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


def scaled_areas(truth: Set, chance: random.Random) -> None:
    scale = chance.choice([1 / PIXELS, 100 / PIXELS, 1e-2, 1e-4, 1e2, 1e4])
    for each in truth["annotations"]:
        each["area"] *= scale


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


def text_ids(truth: Set, chance: random.Random) -> None:
    for each in truth["annotations"]:
        each["id"] = f"550e8400-{each['id']}"


def spaces_around_names(truth: Set, chance: random.Random) -> None:
    for each in truth["categories"]:
        each["name"] = chance.choice(["\ufeff{}", " {}", "{}\r\n"]).format(each["name"])


def backslashes(truth: Set, chance: random.Random) -> None:
    for each in truth["images"]:
        each["file_name"] = each["file_name"].replace("./", "")
        each["file_name"] = f".\\{each['file_name']}"


def without_the_rest(truth: Set, chance: random.Random) -> None:
    del truth["info"], truth["licenses"]


REPAIRABLE: tuple[Damage, ...] = (
    text_of_numbers, text_in_masks, text_of_image_numbers, ids_with_fractions, no_crowd_flags,
    no_areas, no_boxes, no_annotation_ids, flat_polygons, no_sizes, root_category, without_the_rest,
    text_ids, spaces_around_names, backslashes, scaled_areas,
)  # fmt: skip
SILENT = {ids_with_fractions, without_the_rest}
CLASHES: dict[Damage, set[Damage]] = {
    text_of_numbers: {
        no_areas, no_crowd_flags, no_boxes, no_annotation_ids, ids_with_fractions,
    },
    scaled_areas: {no_areas, text_of_numbers},
    text_ids: {no_annotation_ids, text_of_numbers},
    spaces_around_names: {root_category},
    text_in_masks: {flat_polygons},
    text_of_image_numbers: {no_sizes},
}  # fmt: skip
"""Damages that change the same values as others do."""


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


def centres(truth: Set, chance: random.Random) -> list[str]:
    for each in truth["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x + width / 2, y + height / 2, width, height]
    return ["the centre with width and height", "annotation"]


def centres_without_masks(truth: Set, chance: random.Random) -> list[str]:
    for each in truth["annotations"]:
        each["segmentation"] = []
        each["bbox"] = [WIDTH - 22, HEIGHT - 25, chance.randint(35, 40), chance.randint(40, 45)]
    return ["the centre with width and height", "annotation"]


def converted_polygons(convert: Callable[[float, float], tuple[float, float]], said: str) -> Damage:
    def damage(truth: Set, chance: random.Random) -> list[str]:
        for each in truth["annotations"]:
            if isinstance(each["segmentation"], list):
                each["segmentation"] = [
                    [
                        side
                        for x, y in zip(part[::2], part[1::2], strict=True)
                        for side in convert(x, y)
                    ]
                    for part in each["segmentation"]
                ]
        return [said, "annotation"]

    return damage


def boxes_in_percent(truth: Set, chance: random.Random) -> list[str]:
    for each in truth["annotations"]:
        x, y, width, height = (100 * side for side in each["bbox"])
        each["bbox"] = [x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT]
    return ["percent"]


def no_pixels(truth: Set, chance: random.Random) -> list[str]:
    for each in truth["annotations"]:
        each["segmentation"] = chance.choice(
            [[[1] * 6], [[5, 7] * 3], {"size": [HEIGHT, WIDTH], "counts": [PIXELS]}]
        )
    return ["No mask has a pixel", "remove `segmentation`", "annotation"]


def every_one_again(truth: Set, chance: random.Random) -> list[str]:
    known = truth["annotations"]
    truth["annotations"] = known + [each | {"id": 1000 + each["id"]} for each in known]
    return ["more than once", "annotation 1 ", "annotation 1001 "]


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
    "centres": centres,
    "centres-without-masks": centres_without_masks,
    "boxes-in-percent": boxes_in_percent,
    "polygons-in-shares": converted_polygons(lambda x, y: (x / WIDTH, y / HEIGHT), "in shares"),
    "polygons-in-percent": converted_polygons(
        lambda x, y: (100 * x / WIDTH, 100 * y / HEIGHT), "in percent"
    ),
    "no-pixels": no_pixels,
    "every-one-again": every_one_again,
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


NASTY = (
    None, True, -1, 0, 1, 0.5, 1e308, NAN, INFINITE, 10**400, "", "1", "x", "nan", [], [[]], {},
    [1], ["1", 2, 3, 4], [1, 2, 3, 4], [[1, 2, 3, 4, 5, 6]], [[[1, 2], [3, 4]]], [NAN] * 4,
    {"size": [HEIGHT, WIDTH], "counts": "oo"}, {"size": [HEIGHT, WIDTH], "counts": [PIXELS]},
    {"counts": 5}, "../1.png",
)  # fmt: skip
