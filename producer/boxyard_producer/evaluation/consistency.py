"""Whether boxes, masks and images of a set agree: much shows only in all annotations at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .images import Picture
from .masks import Mask
from .remarks import Remarks

Box: TypeAlias = tuple[float, ...]
"""x, y, width, height in pixels, unless it is said to be of another form."""

_ALIKE = 0.5
"""Intersection over union of a box and the one around its mask; less is another box."""
_SAME = 0.9
"""Intersection over union of boxes that differ by rounding alone."""
_ENOUGH = 5
"""Boxes that can show a form together: one or two fit as corners by chance."""
_TOLERANCE = 1.0
"""Pixels that a box may be outside of its image by rounding."""


@dataclass(frozen=True)
class Annotation:
    """One instance, as it is judged.

    Attributes:
        label: how users are shown which one it is.
        image: id of its image.
        category: id of its category.
        box: x, y, width, height in pixels.
        area: pixels.
        crowd: whether it stands for several instances.
        mask: if it has one.
    """

    label: str
    image: int
    category: int
    box: Box
    area: float
    crowd: bool
    mask: Mask | None


def check_consistency(
    annotations: Sequence[Annotation], images: Mapping[int, Picture], remarks: Remarks
) -> None:
    """Notes what cannot be right in a set as a whole, and what is doubtful in single annotations.

    Args:
        annotations: of the images that are evaluated.
        images: by id.
        remarks: where faults and doubts are noted.
    """
    _compare_with_masks(annotations, images, remarks)
    _compare_with_images(annotations, images, remarks)
    _find_duplicates(annotations, remarks)


def _compare_with_masks(
    annotations: Sequence[Annotation], images: Mapping[int, Picture], remarks: Remarks
) -> None:
    """Notes masks that nothing can match, and boxes that are not those around their masks."""
    masked = [(each, each.mask) for each in annotations if each.mask]
    single = [(each, mask) for each, mask in masked if not each.crowd]
    empty = [each for each, mask in masked if not mask.area]
    extended = [(each, mask) for each, mask in masked if min(mask.box[2:]) > 0]
    polygons = [(each, mask) for each, mask in extended if mask.outlined]
    apart = [each for each, mask in extended if _overlap(each.box, mask.box) < _ALIKE]
    for group in (extended, polygons):
        if form := _find_form(group, images):
            for each, _ in group:
                remarks.fault(form, each.label)
            return
    if polygons and all(max(_ends(mask.box)) <= 1 for _, mask in polygons):
        for each, _ in polygons:
            remarks.fault(_POLYGONS_IN_SHARES, each.label)
    elif single and len(masked) == len(annotations) and not any(mask.area for _, mask in single):
        for each, _ in single:
            remarks.fault(
                "No mask has a pixel, so none can be matched. To judge boxes alone, remove "
                "`segmentation`",
                each.label,
            )
    else:
        for each in empty:
            remarks.repair(
                "Masks without a pixel are judged as they are, and nothing matches them", each.label
            )
        for each in apart:
            remarks.repair(
                "`bbox` is not the box around the mask; both are judged as they are", each.label
            )


_POLYGONS_IN_SHARES = "Polygons seem to be in shares of the image, not in pixels"
_FORMS: dict[str, Callable[[Box, Box, Picture], tuple[Box, Box]]] = {
    "`bbox` seems to be x1, y1, x2, y2 and not x, y, width, height: only so is it the box around "
    "the mask": lambda box, mask, _: (_read_corners(box), mask),
    "`bbox` seems to be the centre with width and height and not x, y, width, height: only so is "
    "it the box around the mask": lambda box, mask, _: (_read_centre(box), mask),
    "`bbox` seems to be in percent of the image, not in pixels": lambda box, mask, image: (
        _scale(box, image.width / 100, image.height / 100),
        mask,
    ),
    _POLYGONS_IN_SHARES: lambda box, mask, image: (
        box,
        _scale(mask, image.width, image.height),
    ),
    "Polygons seem to be in percent of the image, not in pixels": lambda box, mask, image: (
        box,
        _scale(mask, image.width / 100, image.height / 100),
    ),
    "Masks seem to have y before x": lambda box, mask, _: (
        box,
        (mask[1], mask[0], mask[3], mask[2]),
    ),
}
"""What may be wrong where no box is the one around its mask: the box and the one around the mask,
read in this form."""


def _find_form(
    masked: Sequence[tuple[Annotation, Mask]], images: Mapping[int, Picture]
) -> str | None:
    """The form in which all boxes are those around their masks, where as they stand none is."""
    as_it_is = [_overlap(each.box, mask.box) for each, mask in masked]
    bounds = (_ALIKE, _SAME) if len(masked) >= _ENOUGH else (_ALIKE,)
    if not masked or max(as_it_is) >= bounds[-1]:
        return None
    for form, convert in _FORMS.items():
        pairs = (convert(each.box, mask.box, images[each.image]) for each, mask in masked)
        converted = min(_overlap(box, around) for box, around in pairs)
        if any(max(as_it_is) < bound <= converted for bound in bounds):
            return form
    if len(masked) >= _ENOUGH and max(as_it_is) < _ALIKE:
        return (
            "No `bbox` of these is the box around its mask, so one of both is of another form than "
            "x, y, width, height and polygons of x, y, … in pixels"
        )
    return None


def _compare_with_images(
    annotations: Sequence[Annotation], images: Mapping[int, Picture], remarks: Remarks
) -> None:
    """Notes boxes that lead out of their images, as those of another form than COCO's do."""
    beyond = [each for each in annotations if not _fits(each.box, images[each.image])]
    if annotations and all(max(each.box) <= 1 for each in annotations):
        for each in annotations:
            remarks.fault("`bbox` seems to be in shares of the image, not in pixels", each.label)
        return
    # Centres of boxes in the middle fit too, so they take more boxes to show.
    for name, convert, enough in (
        ("x1, y1, x2, y2", _read_corners, 1),
        ("the centre with width and height", _read_centre, _ENOUGH),
    ):
        if (
            len(annotations) >= _ENOUGH
            and len(beyond) >= enough
            and all(_fits(convert(each.box), images[each.image]) for each in annotations)
        ):
            for each in beyond:
                remarks.fault(
                    f"`bbox` seems to be {name} and not x, y, width, height: as the latter it "
                    "leads out of its image, and as the former all of the file fit",
                    each.label,
                )
            return
    for each in beyond:
        remarks.repair("Boxes that lead out of their images are judged as they are", each.label)


def _find_duplicates(annotations: Sequence[Annotation], remarks: Remarks) -> None:
    """Notes annotations that occur again; of a set that has each of them so, no figure is true."""
    same = defaultdict[tuple[float, ...], list[str]](list)
    for each in annotations:
        box = (round(side, 1) for side in each.box)
        same[each.image, each.category, *box].append(each.label)
    several = [labels for labels in same.values() if len(labels) > 1]
    again = [f"{first} and {label}" for first, *others in several for label in others]
    if several and len(several) == len(same):
        for pair in again:
            remarks.fault(
                "Every annotation occurs more than once, with the same image, category and box, "
                "and only one of each can be found",
                pair,
            )
    else:
        for pair in again:
            remarks.repair(
                "Annotations with the same image, category and box are judged as they are, and "
                "only one of them is found",
                pair,
            )


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    sides = [
        min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - max(one[axis], other[axis])
        for axis in (0, 1)
    ]
    shared = max(sides[0], 0) * max(sides[1], 0)
    return shared and shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _fits(box: Box, image: Picture) -> bool:
    x, y, width, height = box
    right, bottom = _ends(box)
    return (
        min(width, height) > 0
        and min(x, y) >= -_TOLERANCE
        and right <= image.width + _TOLERANCE
        and bottom <= image.height + _TOLERANCE
    )


def _ends(box: Box) -> tuple[float, float]:
    return box[0] + box[2], box[1] + box[3]


def _read_corners(box: Box) -> Box:
    """A box that is given as x1, y1, x2, y2."""
    x, y, right, bottom = box
    return x, y, right - x, bottom - y


def _read_centre(box: Box) -> Box:
    """A box that is given as its centre with width and height."""
    x, y, width, height = box
    return x - width / 2, y - height / 2, width, height


def _scale(box: Box, horizontal: float, vertical: float) -> Box:
    x, y, width, height = box
    return x * horizontal, y * vertical, width * horizontal, height * vertical
