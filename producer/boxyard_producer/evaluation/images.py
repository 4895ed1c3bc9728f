"""The images of a set: what the annotation file says of them, and their files."""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from boxyard_schemas.content import IMAGE_FORMATS

from .records import Record
from .remarks import Malformed, Remarks, printable, repeated

_ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations under which width and height change places."""
_TIFF = (b"II", b"MM")
_Size = tuple[int, int]


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


def read_images(
    records: Sequence[Record], folder: Path, limit: int | None, remarks: Remarks
) -> tuple[frozenset[int], tuple[Picture, ...]]:
    """Reads the entries of images, and looks at the files of those to evaluate.

    Args:
        records: in the file's order.
        folder: where the files are.
        limit: only the first so many are evaluated.
        remarks: where faults and repairs are noted.

    Returns:
        The ids of all, and those to evaluate.
    """
    ids, names, pictures = list[int](), list[str](), list[Picture]()
    for number, record in enumerate(records):
        name = record.values.get("file_name")
        label = f"{record.label} ({printable(name)})" if isinstance(name, str) else record.label
        with remarks.faults_of(label):
            ids.append(record.whole("id"))
            names.append(_inside(folder, _file_name(record, folder)))
            if limit is None or number < limit:
                width, height = _size(record, folder / names[-1])
                pictures.append(Picture(ids[-1], folder / names[-1], width, height))
    for again in repeated(map(str, ids)):
        remarks.fault("Several images have the same id", again)
    for again in repeated(names):
        remarks.fault("Several images have the same `file_name`", again)
    return frozenset(ids), tuple(pictures)


def _file_name(record: Record, folder: Path) -> str:
    """The `file_name`; one of Windows, where no file is called so, with this system's slashes."""
    name = record.text("file_name")
    slashed = name.replace("\\", "/")
    if slashed != name and not os.path.lexists(folder / name):
        record.repair("Backslashes in `file_name` were read as slashes")
        return slashed
    return name


def _inside(folder: Path, name: str) -> str:
    """A `file_name` as a path within the folder, in its shortest form.

    One that leads out of the folder could send any file of this machine. Links within are followed.
    """
    path = os.path.relpath(folder / name, folder)
    if path.split(os.sep)[0] == os.pardir:
        raise Malformed("`file_name` leads out of the folder of images")
    return path


def _size(record: Record, path: Path) -> _Size:
    """Width and height as annotated, which must be those of the file."""
    found = _upright_size(path)
    if found and not record.has("width") and not record.has("height"):
        record.repair("Width and height were missing, and are taken from the image file")
        return found
    said = (record.whole("width"), record.whole("height"))
    if min(said) < 1:
        raise Malformed("`width` and `height` are not above 0")
    if found and found != said:
        raise Malformed(
            "The image has another size than the annotation file says",
            f"{found[0]}x{found[1]} and not {said[0]}x{said[1]}"
            + (
                " (images are read upright by their EXIF orientation)"
                if found == said[::-1]
                else ""
            ),
        )
    return said


def _upright_size(path: Path) -> _Size | None:
    """Width and height of an image as the service reads it, by its header alone.

    None for a file that Pillow does not understand and the service, which reads by OpenCV, may.
    """
    try:
        if not path.is_file():
            raise Malformed("The image file is missing")
        if not path.stat().st_size:
            raise Malformed("The image file is empty")
        return _read_size(path)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            if file.read(2) in _TIFF:
                return None
        raise Malformed(f"The file is no readable image of {', '.join(IMAGE_FORMATS)}") from None
    except Malformed:
        raise
    except ValueError:  # Pillow's bounds on text and profiles, which OpenCV does not read
        return None
    except Image.DecompressionBombError:
        raise Malformed("The image has more pixels than can be evaluated") from None
    except OSError as error:
        why = error.strerror or "it is damaged"
        raise Malformed("The image file cannot be read", why) from error


def _read_size(path: Path) -> _Size:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of many pixels, and of odd metadata
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if image.format == "TIFF":  # Pillow has turned its size
                return width, height
            # Not `getexif()`, which decodes a whole PNG, and also heeds XMP, which OpenCV does not.
            exif, turned = Image.Exif(), False
            with contextlib.suppress(SyntaxError, ValueError, struct.error):
                exif.load(image.info.get("exif", b""))
                turned = exif.get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
            return (height, width) if turned else (width, height)
