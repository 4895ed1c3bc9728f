"""A picture's header, read before anything is made of the picture.

Reading allocates nothing and looks at a bounded number of places, whatever the file says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from boxyard_schemas.content import ImageFormat, identify, image_format
from boxyard_schemas.errors import Permanent

_PLACES = 10_000
"""Segments, chunks or directories that are looked at; no picture has so many before its pixels."""
_SIDE = 1_000_000
"""Pixels of a side that all the libraries under OpenCV take."""
_SIZES = {3: "H", 4: "I", 16: "Q"}
"""TIFF's types of a width: short, long, and BigTIFF's long."""


class Header(NamedTuple):
    """What a file says of itself; pixels of the first frame as stored, before it is upright."""

    format: ImageFormat
    width: int
    height: int
    frames: int


def read_header(data: bytes) -> Header:
    """Reads a picture's header.

    Raises:
        Permanent: `unsupported-format` or `undecodable-image`.
    """
    if name := image_format(data):
        return Header(name, *_read(data, _READERS[name]))
    raise Permanent("unsupported-format", f"Not a readable image: {identify(data)}")


_Size = tuple[int, int, int]


def _read(data: bytes, read: Callable[[bytes], _Size]) -> _Size:
    try:
        width, height, frames = read(data)
    except struct.error as error:
        raise _undecodable("The header leads beyond the end of the file.") from error
    except _Damaged as error:
        raise _undecodable(f"The header is damaged: {error}.") from error
    if width < 1 or height < 1:
        raise _undecodable(f"The header says {width}x{height} pixels.")
    if max(width, height) > _SIDE:
        raise _undecodable(f"It has {width}x{height} pixels; a side may have {_SIDE}.")
    return width, height, frames


class _Damaged(Exception):
    """The header leads nowhere."""


def _read_jpeg(data: bytes) -> _Size:
    at = 2
    for _ in range(_PLACES):
        at = data.find(b"\xff", at)
        if at < 0:
            break
        (marker,) = struct.unpack_from(">B", data, at + 1)
        if marker in (0x00, 0xFF):  # no marker, or the filling before one
            at += 1
        elif marker in (0x01, *range(0xD0, 0xDA)):  # nothing follows these
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height, 1
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise _Damaged("it has no size")


def _read_png(data: bytes) -> _Size:
    width, height = struct.unpack_from(">II", data, 16)
    for kind, at, _ in _chunks(data, 8, ">I", name_first=False):
        if kind == b"acTL":
            return width, height, struct.unpack_from(">I", data, at)[0]
        if kind == b"IDAT":
            break
    return width, height, 1


def _read_webp(data: bytes) -> _Size:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF, 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1
    low, width, high, height = struct.unpack_from("<HBHB", data, 24)
    chunks = _chunks(data, 12, "<I", name_first=True)
    frames = sum(name == b"ANMF" for name, *_ in chunks)
    return (low | width << 16) + 1, (high | height << 16) + 1, max(1, frames)


def _chunks(
    data: bytes, at: int, size: str, *, name_first: bool
) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and size of the chunks' bodies: RIFF's, and PNG's with their check sums."""
    for _ in range(_PLACES):
        if at + 8 > len(data):
            return
        name_at, size_at = (at, at + 4) if name_first else (at + 4, at)
        (length,) = struct.unpack_from(size, data, size_at)
        yield data[name_at : name_at + 4], at + 8, length
        at += 8 + length + (length & 1 if name_first else 4)
    raise _Damaged(f"it has more than {_PLACES} parts")


def _read_bmp(data: bytes) -> _Size:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return abs(width), abs(height), 1


def _read_tiff(data: bytes) -> _Size:
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    first, seen = at, set[int]()
    while at and at not in seen and len(seen) < _PLACES:
        seen.add(at)
        (entries,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize(count) + entries * entry
        (at,) = struct.unpack_from(order + offset, data, at)
    tags = dict(_tags(data, first, order, big=big))
    if 256 not in tags or 257 not in tags:
        raise _Damaged("it has no size")
    return tags[256], tags[257], len(seen)


def _tags(data: bytes, at: int, order: str, *, big: bool) -> Iterator[tuple[int, int]]:
    """The first directory's short tags and their values."""
    count, entry, value = ("Q", 20, 12) if big else ("H", 12, 8)
    (entries,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(count)
    for start in range(at, at + entry * min(entries, _PLACES), entry):
        tag, kind = struct.unpack_from(order + "HH", data, start)
        if kind in _SIZES:
            yield tag, struct.unpack_from(order + _SIZES[kind], data, start + value)[0]


def _undecodable(detail: str) -> Permanent:
    return Permanent("undecodable-image", f"The picture cannot be decoded. {detail}")


_READERS: dict[ImageFormat, Callable[[bytes], _Size]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WEBP": _read_webp,
    "BMP": _read_bmp,
    "TIFF": _read_tiff,
}
