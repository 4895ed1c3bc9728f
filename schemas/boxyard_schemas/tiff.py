"""What the first page of a TIFF file is, without decoding it."""

from __future__ import annotations

import struct

_NEW_SUBFILE_TYPE, _REDUCED = 254, 1
_DNG_VERSION = 50706
_NUMBERS = {3: "H", 4: "I"}
"""Types of a tag's value that are read: SHORT and LONG."""
_MAX_TAGS = 4096
_MOST_BYTES = 8 + 20 * _MAX_TAGS
_CANON = b"CR"
"""Behind the header of a CR2 file; it has no mark of another kind."""


def begins_with_preview(data: bytes) -> bool:
    """Whether the first page, which is read as the image, is a reduced copy of it.

    Raw files of cameras are TIFF files with such a page. Where its tags are not among the bytes,
    the page is taken for the image itself.

    Sources: TIFF 6.0, section 2 and tag 254; BigTIFF; Digital Negative 1.7, tag 50706.

    Args:
        data: a TIFF or BigTIFF file, or its beginning.
    """
    try:
        tags = _read_tags(data)
    except struct.error:
        return False
    return _DNG_VERSION in tags or bool(tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED)


def _read_tags(data: bytes) -> dict[int, int]:
    """The first page's tags, with the values of those that are single numbers, else 0.

    Raises:
        struct.error: they are not among the bytes.
    """
    order = "<" if data.startswith(b"II") else ">"
    is_big = b"+" in data[2:4]
    offset, count, entry = ("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s")
    if not is_big and data[8:10] == _CANON:
        return {_NEW_SUBFILE_TYPE: _REDUCED}
    (start,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    page = data[start : start + _MOST_BYTES]  # an offset beyond any file leaves nothing
    (number,) = struct.unpack_from(order + count, page)
    first, size = struct.calcsize(order + count), struct.calcsize(order + entry)
    tags = dict[int, int]()
    for index in range(min(number, _MAX_TAGS)):
        tag, kind, _, value = struct.unpack_from(order + entry, page, first + index * size)
        letter = _NUMBERS.get(kind)
        tags[tag] = struct.unpack_from(order + letter, value)[0] if letter else 0
    return tags
