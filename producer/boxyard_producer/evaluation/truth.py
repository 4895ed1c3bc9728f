"""What the images show: a COCO annotation file, checked before anything is sent.

pycocotools gets what was checked here, and nothing else of the file.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pycocotools.coco import COCO

from boxyard_schemas.errors import InvalidRequest

from .annotations import (
    check_references,
    read_annotations,
    read_categories,
    read_references,
)
from .consistency import Annotation
from .images import Picture, read_images
from .records import open_records, read_parts
from .remarks import Remarks, some_of


@dataclass(frozen=True)
class Truth:
    """A COCO set.

    Attributes:
        pictures: those to evaluate, in the file's order.
        categories: id by name.
        annotations: of these pictures, as they are judged.
        repairs: what was repaired in the file or is doubtful in it, a sentence each.
        coco: pictures, categories and annotations as pycocotools holds them.
    """

    pictures: tuple[Picture, ...]
    categories: dict[str, int]
    annotations: tuple[Annotation, ...]
    repairs: tuple[str, ...]
    coco: COCO

    @classmethod
    def read(cls, annotations: Path, images: Path, limit: int | None = None) -> Self:
        """Reads a file of instances.

        Args:
            annotations: in COCO's form.
            images: the folder that the file's `file_name`s are relative to.
            limit: only the first so many pictures; nothing of the others is judged.

        Raises:
            InvalidRequest: the file is no such file, has faults that only a guess would repair, or
                pictures of it are missing, unreadable or others than it describes.
            OSError: the file cannot be read.
        """
        remarks = Remarks()
        parts = read_parts(annotations)
        references = read_references(
            open_records(parts["annotations"], "annotation", remarks), remarks
        )
        category_ids, categories = read_categories(
            open_records(parts["categories"], "category", remarks),
            {each.category for each in references},
            remarks,
        )
        image_ids, pictures = read_images(
            open_records(parts["images"], "image", remarks), images, limit, remarks
        )
        check_references(references, image_ids, category_ids, remarks)
        judged = read_annotations(references, pictures, remarks)
        remarks.refuse(annotations)
        _note_missing_masks(judged, remarks)
        coco = _index(pictures, categories, judged)
        return cls(pictures, categories, judged, remarks.repaired(), coco)

    @property
    def has_masks(self) -> bool:
        """Whether every annotation has a mask."""
        return all(annotation.mask for annotation in self.annotations)

    def check_model(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Refuses a model of which nothing could be judged by this set.

        Args:
            labels: the model's; none where they are not known yet.

        Returns:
            What will count against it although it is not its fault, a sentence each.

        Raises:
            InvalidRequest: no category has one of the labels, or no annotation to evaluate has one
                of the model's categories.
        """
        self.check_labels(labels)
        names = {id: name for name, id in self.categories.items()}
        single = {names[each.category] for each in self.annotations if not each.crowd}
        if not single & set(labels or names.values()):
            raise InvalidRequest(
                f"Nothing could be judged: of the {len(self.pictures)} images to evaluate none has "
                "an annotation, beside those of crowds, "
                + (f"with a label of the model ({some_of(labels)})." if single else "at all.")
            )
        strange = sorted(single - set(labels)) if labels else []
        if not strange:
            return ()
        return (
            f"The model has no label {some_of(strange)}: what is annotated as such is not found by "
            "it, and counts as AP 0 of that category.",
        )

    def check_labels(self, labels: Iterable[str]) -> None:
        """Refuses labels that no category has.

        Raises:
            InvalidRequest: naming them.
        """
        named = set(labels)
        strange = sorted(named - self.categories.keys())
        if strange:
            raise InvalidRequest(
                f"The model's labels {some_of(strange)} are no categories of the annotation file, "
                f"which has {some_of(list(self.categories))}; {len(named) - len(strange)} others "
                f"are.{_alike(strange, self.categories)} "
                "Evaluate on a set of the model's own labels, or add them to the file's categories."
            )


def _alike(labels: Sequence[str], categories: Collection[str]) -> str:
    plain = {_plain(name): name for name in categories}
    pairs = [
        f"{label!r} and {plain[_plain(label)]!r}" for label in labels if _plain(label) in plain
    ]
    return f" Spelled differently alone: {some_of(pairs)}." if pairs else ""


def _plain(name: str) -> str:
    """A name without what spellings differ in: case, spaces and signs between words."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _note_missing_masks(annotations: Sequence[Annotation], remarks: Remarks) -> None:
    without = [annotation for annotation in annotations if not annotation.mask]
    if len(without) < len(annotations):
        for annotation in without:
            remarks.repair(
                "Boxes alone are judged, not masks, because of annotations without a mask",
                annotation.label,
            )


def _index(
    pictures: Sequence[Picture], categories: Mapping[str, int], annotations: Sequence[Annotation]
) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": each.id, "width": each.width, "height": each.height} for each in pictures
        ],
        "categories": [{"id": id, "name": name} for name, id in categories.items()],
        "annotations": [_write(id, each) for id, each in enumerate(annotations, 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it reports each step
        coco.createIndex()
    return coco


def _write(id: int, annotation: Annotation) -> dict[str, Any]:
    """An annotation in COCO's form.

    Its id is a new one: where an id is 0, pycocotools takes a match for none.
    """
    written = {
        "id": id,
        "image_id": annotation.image,
        "category_id": annotation.category,
        "bbox": list(annotation.box),
        "area": annotation.area,
        "iscrowd": int(annotation.crowd),
    }
    if annotation.mask:
        written["segmentation"] = annotation.mask.rle
    return written
