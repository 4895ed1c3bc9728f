"""Images as callers hold them, and as a job names them."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import IO, NotRequired, TypedDict, TypeGuard
from urllib.parse import unquote, unquote_to_bytes

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from boxyard_schemas import Base64Image, ImageSource, S3Image, UploadImage, UrlImage
from boxyard_schemas.content import image_format
from boxyard_schemas.errors import InvalidRequest
from boxyard_schemas.inline import ImageText, split_data_uri

from .files import check_file, shorten
from .requests import invalid
from .sources import Source, measure, name_of


class UrlMembers(TypedDict):
    """A `UrlImage` as a dict."""

    url: str
    reference: NotRequired[str | None]


class Base64Members(TypedDict):
    """A `Base64Image` as a dict."""

    base64: str | bytes
    reference: NotRequired[str | None]


class S3Members(TypedDict):
    """An `S3Image` as a dict."""

    s3: str
    reference: NotRequired[str | None]


class UploadMembers(TypedDict):
    """An `UploadImage` as a dict."""

    upload: str
    reference: NotRequired[str | None]


Image = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | ImageSource
    | UrlMembers
    | Base64Members
    | S3Members
    | UploadMembers
)
"""A path, encoded bytes, an open file, an http(s) URL, an `s3://` or `data:` URI, or an image
source, as an object or as a dict."""

_SOURCE: TypeAdapter[ImageSource] = TypeAdapter(ImageSource)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MAX_REFERENCE = 256
_INLINE_BYTES = 128 * 2**10
"""Of one job's local images. Above, base64 costs the server more than a request of its own does."""


@dataclass(frozen=True)
class LocalImage:
    """An image that the server does not have yet.

    Attributes:
        content: its encoded bytes, or where they are read from.
        name: what errors call it.
        reference: what its outcome is called: the path as the caller gave it.
    """

    content: Source | bytes
    name: str
    reference: str | None = None


class Inline:
    """The small images of one job, which travel in its request: each spares one of its own."""

    def __init__(self) -> None:
        self._left = _INLINE_BYTES

    def take(self, image: LocalImage) -> bytes | None:
        """The image's content; None where it is to be uploaded.

        Raises:
            OSError: it cannot be read.
        """
        source = image.content
        content = source.read(self._left) if isinstance(source, Source) else source
        # What begins like no image is uploaded too: the server says what it is.
        if content is None or len(content) > self._left or not image_format(content):
            return None
        self._left -= len(content)
        return content


def place(image: Image) -> ImageSource | LocalImage:
    """Check an image, and say whether it is already where a worker can read it.

    Raises:
        InvalidRequest: it has no bytes, or is a URL or an image source that the contract refuses.
        OSError: there is no such file, or it cannot be read as one.
        TypeError: none of the forms that an image may have.
    """
    match image:
        case UrlImage() | Base64Image() | S3Image() | UploadImage():
            return image
        case Mapping():
            return _checked(image, "an image source")
        case bytes() | bytearray() | memoryview():
            return _encoded(_copy(image), "an image given as bytes")
        case str():
            return _place_text(image)
        case os.PathLike():
            return _file(os.fsdecode(image))
        case io.TextIOBase():
            raise TypeError(f"{image!r} is open as text: open images with mode 'rb'")
    if _is_file(image):
        return _open_file(image)
    raise _no_image(image)


def several(images: Image | Iterable[Image]) -> Iterable[Image]:
    """Always several, also of one image.

    Raises:
        TypeError: neither.
    """
    one = (str, os.PathLike, bytes, bytearray, memoryview, Mapping, *_SOURCES)
    if isinstance(images, one) or _is_file(images):
        return [images]  # type: ignore[list-item]  # a Mapping is one of the dicts
    if not isinstance(images, Iterable):
        raise _no_image(images)
    return images


_SOURCES = (UrlImage, Base64Image, S3Image, UploadImage)


def _place_text(text: str) -> ImageSource | LocalImage:
    stripped = text.strip()
    if stripped[:5].lower() == "data:":
        return _encoded(_decode_data_uri(stripped), shorten(stripped))
    if not (scheme := _SCHEME.match(stripped)):
        return _file(text)
    match scheme[1].lower():
        case "http" | "https":
            return _checked({"url": stripped}, shorten(stripped))
        case "s3":
            return _checked({"s3": "s3" + stripped[2:]}, shorten(stripped))
        case "file":
            path = unquote(stripped.partition("://")[2])
            raise InvalidRequest(f"{shorten(stripped)}: give the path itself, {shorten(path)}")
        case other:
            raise InvalidRequest(f"{shorten(stripped)}: {_explain_scheme(other)}")


def _explain_scheme(scheme: str) -> str:
    if near := get_close_matches(scheme, ["http", "https", "s3"], n=1):
        return f"{scheme}:// is no scheme of an image; did you mean {near[0]}://?"
    return (
        f"images cannot be read by {scheme}://, only by http://, https:// and s3://; "
        "give a signed https URL, or download it and give the file"
    )


def _decode_data_uri(uri: str) -> bytes:
    parts = split_data_uri(uri.encode("utf-8", "surrogateescape"))
    if parts is None:
        raise InvalidRequest(f"{shorten(uri)}: a data: URI has a comma before its content")
    is_base64, content = parts
    plain = unquote_to_bytes(content)
    if not is_base64:
        return plain
    text = plain.translate(None, b"\r\n")
    try:
        return ImageText.decode(text + b"=" * (-len(text) % 4)) if text else b""
    except PydanticCustomError as error:
        raise InvalidRequest(f"{shorten(uri)}: its content is refused: {error}") from error


def _checked(members: Mapping[str, object], name: str) -> ImageSource:
    try:
        return _SOURCE.validate_python(dict(members))
    except ValidationError as error:
        if "s3" in members:
            raise InvalidRequest(f"{name}: an image in a bucket is s3://BUCKET/KEY") from error
        raise InvalidRequest(f"{name}: {invalid(error).detail}") from error


def _copy(image: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(image)
    except ValueError as error:
        raise InvalidRequest(f"an image given as bytes: {error}") from error


def _encoded(content: bytes, name: str) -> LocalImage:
    if not content:
        raise InvalidRequest(f"{name}: it is empty (0 bytes)")
    return LocalImage(content, name)


def _file(path: str) -> LocalImage:
    check_file(path)
    return LocalImage(Source(Path(path)), shorten(path), refer(path))


def _open_file(file: IO[bytes]) -> LocalImage:
    path = getattr(file, "name", None)
    name = name_of(file)
    if inspect.iscoroutinefunction(file.read):
        raise TypeError(f"{name} is read by a coroutine: give what `await file.read()` returns")
    if getattr(file, "closed", False):
        raise InvalidRequest(f"{name} is closed: submit it while it is open, or give its path")
    if measure(file) == 0:
        raise InvalidRequest(f"{name} has no bytes after its position: is a `seek(0)` missing?")
    return LocalImage(Source(file), name, refer(path) if path and isinstance(path, str) else None)


def refer(path: str) -> str:
    """A file's reference: its path as it was given, so that equal base names stay apart.

    It is written as pathlib writes paths, with slashes on Windows too. `..` stays, because it may
    lead through a linked folder.
    """
    text = os.fsencode(PurePath(path).as_posix()).decode("utf-8", "backslashreplace")
    if len(text) <= _MAX_REFERENCE:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{digest}…{text[9 - _MAX_REFERENCE :]}"


def _no_image(found: object) -> TypeError:
    return TypeError(
        "an image is a path, bytes, an open file, a URL or an image source, not "
        f"{type(found).__name__}; encode an array or a drawn picture as PNG or JPEG first"
    )


def _is_file(image: object) -> TypeGuard[IO[bytes]]:
    return hasattr(image, "read")
