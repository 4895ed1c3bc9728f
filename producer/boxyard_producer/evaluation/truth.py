"""What the pictures show: a COCO annotation file, checked before anything is sent."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pycocotools.coco import COCO
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from boxyard_schemas.errors import InvalidRequest

_SHOWN = 3


class _Image(BaseModel):
    id: int
    file_name: str
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class _Category(BaseModel):
    id: int
    name: str


class _Annotation(BaseModel):
    # pycocotools writes the number of a match where 0 says that there is none.
    id: int = Field(ge=1)
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int
    segmentation: Any = None


class _File(BaseModel):
    images: tuple[_Image, ...] = Field(min_length=1)
    categories: tuple[_Category, ...] = Field(min_length=1)
    annotations: tuple[_Annotation, ...]


@dataclass(frozen=True)
class Picture:
    """A picture of the set.

    Attributes:
        id: in the annotation file.
        path: the file.
        width: pixels, as annotated.
        height: pixels, as annotated.
    """

    id: int
    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class Truth:
    """A COCO set.

    Attributes:
        pictures: those to evaluate, in the file's order.
        categories: id by name.
        coco: the whole file as pycocotools holds it.
        has_masks: whether every annotation has a mask.
    """

    pictures: tuple[Picture, ...]
    categories: dict[str, int]
    coco: COCO
    has_masks: bool

    @classmethod
    def read(cls, annotations: Path, images: Path, limit: int | None = None) -> Self:
        """Reads a file of instances.

        Args:
            annotations: in COCO's form.
            images: the folder that the file's `file_name`s are relative to.
            limit: only the first so many pictures.

        Raises:
            InvalidRequest: the file is no such file, names something twice, or a picture of it is
                not in the folder.
            OSError: the file cannot be read.
        """
        said = annotations.read_bytes()
        file = _parse(annotations, said)
        _refuse_twins(annotations, file)
        pictures = tuple(
            Picture(image.id, images / image.file_name, image.width, image.height)
            for image in file.images[:limit]
        )
        _refuse_missing(pictures)
        categories = {category.name: category.id for category in file.categories}
        masks = all(annotation.segmentation for annotation in file.annotations)
        return cls(pictures, categories, _index(json.loads(said)), masks)

    def check_labels(self, labels: Iterable[str]) -> None:
        """Refuses labels that no category has.

        Raises:
            InvalidRequest: naming them.
        """
        strange = sorted(set(labels) - self.categories.keys())
        if strange:
            raise InvalidRequest(
                f"The model's labels {_few(strange)} are no categories of the annotation file, "
                f"which has {_few(list(self.categories))}. Evaluate on a set of the model's own "
                "labels, or add them to the file's categories."
            )


def _parse(path: Path, said: bytes) -> _File:
    try:
        return _File.model_validate_json(said)
    except ValidationError as error:
        wrong = [_say(each) for each in error.errors(include_url=False, include_input=False)]
        raise InvalidRequest(f"{path} is no COCO annotation file: {_few(wrong)}.") from error


def _say(error: ErrorDetails) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg']}" if place else error["msg"]


def _refuse_twins(path: Path, file: _File) -> None:
    named: dict[str, list[int] | list[str]] = {
        "image id": [image.id for image in file.images],
        "picture": [image.file_name for image in file.images],
        "category id": [category.id for category in file.categories],
        "category": [category.name for category in file.categories],
        "annotation id": [annotation.id for annotation in file.annotations],
    }
    for what, names in named.items():
        if twins := [str(name) for name, count in Counter(names).items() if count > 1]:
            raise InvalidRequest(f"{path} has the same {what} more than once: {_few(twins)}.")


def _refuse_missing(pictures: Sequence[Picture]) -> None:
    if missing := [str(each.path) for each in pictures if not each.path.is_file()]:
        raise InvalidRequest(
            f"{len(missing)} of {len(pictures)} pictures are missing: {_few(missing)}."
        )


def _index(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    with contextlib.redirect_stdout(io.StringIO()):  # it reports each step
        coco.createIndex()
    return coco


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
