"""Pictures as callers hold them, and as a job names them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from boxyard_schemas import Base64Image, ImageSource, S3Image, UploadImage, UrlImage

Image = str | os.PathLike[str] | bytes | ImageSource
"""A path, encoded bytes, an http(s) URL, an `s3://` URI, or a ready image source."""

_SOURCES = (UrlImage, Base64Image, S3Image, UploadImage)


@dataclass(frozen=True)
class LocalImage:
    """A picture that has to be uploaded first."""

    content: Path | bytes
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
        case str() if image.startswith(("http://", "https://")):
            return UrlImage.model_validate({"url": image})
        case str() if image.startswith("s3://"):
            return S3Image(s3=image)
        case str() | os.PathLike():
            path = Path(image)
            return LocalImage(path, reference=path.name[:256])
    raise TypeError(f"an image is a path, bytes, a URL or an image source, not {image!r}")


def several(images: Image | Iterable[Image]) -> list[Image]:
    """Always a list, also of one picture."""
    if isinstance(images, (str, os.PathLike, bytes, *_SOURCES)):
        return [images]
    return list(images)
