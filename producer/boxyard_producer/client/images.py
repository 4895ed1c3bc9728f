"""Pictures as callers hold them, and as a job names them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeGuard

from boxyard_schemas import Base64Image, ImageSource, S3Image, UploadImage, UrlImage

from .sources import Source

Image = str | os.PathLike[str] | bytes | IO[bytes] | ImageSource
"""A path, encoded bytes, an open file, an http(s) URL, an `s3://` URI, or a ready image source."""

_SOURCES = (UrlImage, Base64Image, S3Image, UploadImage)


@dataclass(frozen=True)
class LocalImage:
    """A picture that has to be uploaded first."""

    content: Source | bytes
    reference: str | None = None


def place(image: Image) -> ImageSource | LocalImage:
    """Say whether a picture is already where a worker can read it.

    Raises:
        pydantic.ValidationError: a URL or an S3 URI that the contract does not allow.
        TypeError: none of the forms that a picture may have.
    """
    match image:
        case UrlImage() | Base64Image() | S3Image() | UploadImage():
            return image
        case bytes():
            return LocalImage(image)
        case str() if image.startswith("s3://"):
            return S3Image(s3=image)
        case str() if "://" in image:
            return UrlImage.model_validate({"url": image})
        case str() | os.PathLike():
            path = Path(image)
            return LocalImage(Source(path), _reference(path))
        case io.TextIOBase():
            raise TypeError(f"{image!r} is open as text: open pictures with mode 'rb'")
    if _is_file(image):
        name = getattr(image, "name", None)
        return LocalImage(Source(image), _reference(name) if isinstance(name, str) else None)
    raise _no_image(image)


def several(images: Image | Iterable[Image]) -> Iterable[Image]:
    """Always several, also of one picture.

    Raises:
        TypeError: neither.
    """
    if isinstance(images, (str, os.PathLike, bytes, *_SOURCES)) or _is_file(images):
        return [images]
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise _no_image(images)
    return images


def _no_image(found: object) -> TypeError:
    return TypeError(
        "an image is a path, bytes, an open file, a URL or an image source, not "
        f"{type(found).__name__}; encode an array or a drawn picture as PNG or JPEG first"
    )


def _is_file(image: object) -> TypeGuard[IO[bytes]]:
    return hasattr(image, "read")


def _reference(path: str | Path) -> str:
    return Path(path).name[:256]
