"""The categories and annotations of a set, as they are judged."""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from .consistency import Annotation, check_consistency
from .images import Picture
from .masks import Mask, read_mask
from .records import Record, is_number
from .remarks import Malformed, Remarks, repeated

_LARGEST_AREA = 1e10
"""Pixels; what is larger, COCO's evaluation leaves out."""
_LEAST_SHARE = 0.1
"""An `area` with less of the mask's pixels than this is none of it."""
_AROUND_NAMES = f"{string.whitespace}\ufeff\u00a0"


class Reference(NamedTuple):
    """An annotation, and what it belongs to."""

    record: Record
    image: int
    category: int


def read_references(records: Sequence[Record], remarks: Remarks) -> list[Reference]:
    """What each annotation belongs to. Their own ids are for people: pycocotools gets others."""
    references, ids = list[Reference](), list[str]()
    for record in records:
        with remarks.faults_of(record.label):
            if record.has("id"):
                ids.append(str(number := _own_id(record)))
                if not number:
                    record.repair("The id 0, which pycocotools takes for no match, was replaced")
            else:
                record.repair("Annotations without an id were given one")
            image, category = record.whole("image_id"), record.whole("category_id")
            labelled = Record(f"{record.label} (image {image})", record.values, remarks)
            references.append(Reference(labelled, image, category))
    for again in repeated(ids):
        remarks.fault("Several annotations have the same id", again)
    return references


def _own_id(record: Record) -> int | str:
    given = record.values["id"]
    if isinstance(given, str) and given.strip() and not is_number(given):
        record.repair("Ids that are texts were replaced by numbers")
        return given
    return record.whole("id")


def read_categories(
    records: Sequence[Record], used: Collection[int], remarks: Remarks
) -> tuple[frozenset[int], dict[str, int]]:
    """Reads the categories.

    A root category, as some tools write it, may have no name or another's: without annotations it
    is left out.

    Args:
        records: in the file's order.
        used: ids that annotations have.
        remarks: where faults and repairs are noted.

    Returns:
        The ids of all, and id by name.
    """
    ids, named = list[int](), defaultdict[str, list[tuple[int, Record]]](list)
    for record in records:
        with remarks.faults_of(record.label):
            ids.append(record.whole("id"))
            if ids[-1] in used or record.values.get("name"):
                named[_name(record)].append((ids[-1], record))
            else:
                record.repair("Categories without a name and without annotations were left out")
    for again in repeated(map(str, ids)):
        remarks.fault("Several categories have the same id", again)
    return frozenset(ids), {name: _choose(same, used, remarks) for name, same in named.items()}


def _name(record: Record) -> str:
    name = record.text("name")
    if (bare := name.strip(_AROUND_NAMES)) != name:
        record.repair("Spaces and byte order marks around names of categories were left out")
    return bare


def _choose(same: Sequence[tuple[int, Record]], used: Collection[int], remarks: Remarks) -> int:
    """Of categories of one name the one that has annotations."""
    chosen, *others = sorted(same, key=lambda each: each[0] not in used)
    for id, record in others:
        if id in used:
            remarks.fault("Several categories of the same name have annotations", record.label)
        else:
            record.repair("Categories without annotations and with another's name were left out")
    return chosen[0]


def check_references(
    references: Sequence[Reference],
    images: Collection[int],
    categories: Collection[int],
    remarks: Remarks,
) -> None:
    """Notes annotations that belong to no image or category of the file."""
    for kind, known, named in (
        ("image", images, [each.image for each in references]),
        ("category", categories, [each.category for each in references]),
    ):
        hint = _hint(set(named), known)
        for each, id in zip(references, named, strict=True):
            if id not in known:
                remarks.fault(
                    f"`{kind}_id` is the id of no {kind} of the file{hint}",
                    f"{each.record.label.partition(' (')[0]} ({kind}_id {id})",
                )


def _hint(named: Collection[int], known: Collection[int]) -> str:
    for step, more in ((1, "less"), (-1, "more")):
        if all(id + step in known for id in named):
            return f" (all are one {more} than one of these: counted from 0 or from 1?)"
    return ""


def read_annotations(
    references: Sequence[Reference], pictures: Sequence[Picture], remarks: Remarks
) -> tuple[Annotation, ...]:
    """Reads the annotations of the images that are evaluated."""
    by_id = {picture.id: picture for picture in pictures}
    annotations = list[Annotation]()
    for each in references:
        if picture := by_id.get(each.image):
            with remarks.faults_of(each.record.label):
                annotations.append(_read(each, picture))
    check_consistency(annotations, by_id, remarks)
    return tuple(annotations)


def _read(reference: Reference, picture: Picture) -> Annotation:
    record = reference.record
    mask = read_mask(record, picture.width, picture.height)
    box = _box(record, mask, picture)
    return Annotation(
        label=record.label,
        image=reference.image,
        category=reference.category,
        box=box,
        area=_area(record, mask, box),
        crowd=_crowd(record),
        mask=mask,
    )


def _box(record: Record, mask: Mask | None, picture: Picture) -> tuple[float, ...]:
    if not record.has("bbox") and mask:
        record.repair("`bbox` was missing, and is the box around the mask")
        box = mask.box
    else:
        box = tuple(record.numbers(record.values.get("bbox"), "bbox"))
    if len(box) != 4:
        raise Malformed("`bbox` is not x, y, width, height")
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise Malformed("`bbox` has a width or height that is not above 0")
    if x >= picture.width or y >= picture.height or x + width <= 0 or y + height <= 0:
        raise Malformed("`bbox` lies outside of the image")
    return box


def _area(record: Record, mask: Mask | None, box: tuple[float, ...]) -> float:
    """The area, by which instances are small, medium or large; of the mask where it is of no use.

    One in another unit, such as shares of the image, would put them all into one of these.
    """
    area = record.number(record.values["area"], "area") if record.has("area") else 0.0
    if not 0 <= area <= _LARGEST_AREA:
        raise Malformed("`area` is negative or larger than any image")
    width, height = box[2:]
    computed = mask.area if mask else width * height
    # Half the pixels that it takes to reach from one side of the box to the other.
    least = _LEAST_SHARE * mask.area if mask else max(width, height) / 2
    most = max((width + 1) * (height + 1), computed)
    if not area:
        record.repair("`area` was missing or 0, and is that of the mask, or else of the box")
    elif not least <= area <= most:
        record.repair(
            "`area` was not in pixels, being too small for the mask or larger than the box, and is "
            "that of the mask, or else of the box"
        )
    else:
        return area
    return computed


def _crowd(record: Record) -> bool:
    if not record.has("iscrowd"):
        record.repair("`iscrowd` was missing, and is 0")
        return False
    if isinstance(record.values["iscrowd"], bool):
        record.repair("`iscrowd` was true or false, and is 1 or 0")
        return bool(record.values["iscrowd"])
    crowd = record.whole("iscrowd")
    if crowd not in (0, 1):
        raise Malformed("`iscrowd` is neither 0 nor 1")
    return bool(crowd)
