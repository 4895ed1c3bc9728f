"""What bytes are, by how they begin: an image of a format that is read, or something else.

Callers send much that is no image. An error names what came and what to do about it; it never
shows the bytes.
"""

from __future__ import annotations

import binascii
import re
from typing import Literal, NamedTuple, get_args

ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

_HEAD = 1024
"""Bytes that are looked at."""


class Content(NamedTuple):
    """A kind of content that is not read as an image.

    Attributes:
        name: with its article, as in "a GIF image".
        advice: a sentence that says what to do.
    """

    name: str
    advice: str

    def __str__(self) -> str:
        return f"this is {self.name}. {self.advice}"


def image_format(data: bytes) -> ImageFormat | None:
    """The image format that the bytes begin as, if it is one of those that are read."""
    for pattern, name in _IMAGES:
        if pattern.match(data):
            return name
    return None


def identify(data: bytes) -> Content:
    """What the bytes are, where `image_format` knows none."""
    if not data:
        return Content("empty", "Send the bytes of an image.")
    head = bytes(data[:_HEAD])
    for pattern, content in _BINARY_KINDS:
        if pattern.match(head):
            return content
    text = _as_text(head)
    if text is None:
        return Content("binary data of an unknown kind", _CONVERT)
    if written := _image_as_text(text):
        return written
    for pattern, content in _TEXT_KINDS:
        if pattern.match(text):
            return content
    return Content("text", "Send the bytes of an image.")


def _as_text(head: bytes) -> bytes | None:
    """The head in UTF-8 without byte order mark and spaces; None where it is not text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    whole = text.decode("utf-8", "ignore").encode()
    # The head may end within a character, of up to four bytes.
    return None if _CONTROLS.search(text) or len(text) - len(whole) >= 4 else text


def _image_as_text(text: bytes) -> Content | None:
    compact = re.sub(rb"[\r\n]", b"", text)
    digits = re.match(rb"(?:0x|\\x)?((?:[0-9a-f]{2}){18,32})", compact, re.IGNORECASE)
    if digits and image_format(binascii.unhexlify(digits[1])):
        return Content("an image written in hexadecimal", _DECODE)
    letters = re.match(rb"(?:[\w+/-]{4}){6,16}", compact)
    if letters and image_format(binascii.a2b_base64(letters[0].translate(_FROM_URL_SAFE))):
        return Content("an image written in base64", _DECODE)
    return None


_CONVERT = f"Convert it to {', '.join(IMAGE_FORMATS[:-1])} or {IMAGE_FORMATS[-1]}."
_DECODE = "Decode it, and send the bytes of the image."
_UNPACK = "Unpack it, and send the bytes of the image."
_RAW = "Send the bytes of the image alone, as in: curl --data-binary @image.jpg"
_FRAMES = "Send single frames of it as JPEG or PNG."
_PAGES = "Send its pages as JPEG or PNG."
_ITSELF = "Send the image itself, not a page or a message about it."

_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_IMAGES: tuple[tuple[re.Pattern[bytes], ImageFormat], ...] = (
    # Without the null bytes and line breaks that a text may not have, it is none any more.
    (re.compile(rb"\xff\xd8\xff(?!\xe0.?JFIF|\xe1.?Exif)", re.DOTALL), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WEBP"),
    # "BM" begins many a text: the size of the second header must be one that exists.
    (re.compile(rb"BM(\Z|.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0)", re.DOTALL), "BMP"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
)


def _kinds(
    flags: int, *kinds: tuple[bytes, str, str]
) -> tuple[tuple[re.Pattern[bytes], Content], ...]:
    return tuple(
        (re.compile(pattern, re.DOTALL | flags), Content(name, advice))
        for pattern, name, advice in kinds
    )


_BINARY_KINDS = _kinds(
    0,
    (rb"GIF8", "a GIF image", _CONVERT),
    (rb".{4}ftyp(.{4})*?avi[fs]", "an AVIF image", _CONVERT),
    (rb".{4}ftyp(.{4})*?(hei[cmsx]|hev[cmsx]|mif1|msf1)", "a HEIC image", _CONVERT),
    (rb".{4}ftypcrx ", "a raw image of a camera (CR3)", _CONVERT),
    (rb".{4}(ftyp|moov|mdat)", "an MP4 or QuickTime video", _FRAMES),
    (rb"\x1aE\xdf\xa3", "a WebM or Matroska video", _FRAMES),
    (rb"RIFF.{4}AVI ", "an AVI video", _FRAMES),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image", _CONVERT),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL image", _CONVERT),
    (rb"II\xbc\x01", "a JPEG XR image", _CONVERT),
    (rb"8BPS\0", "a Photoshop file", _CONVERT),
    (rb"v/1\x01", "an OpenEXR image", _CONVERT),
    (rb"DDS \x7c", "a DDS image", _CONVERT),
    (rb"qoif", "a QOI image", _CONVERT),
    (rb"\0\0[\x01\x02]\0[^\0]\0", "an icon (ICO)", _CONVERT),
    (rb"P[1-7]\s+[\d#W]", "a PNM image", _CONVERT),
    (rb".{128}DICM", "a DICOM file", _CONVERT),
    (rb"\x93NUMPY", "a NumPy array", "Encode it as PNG or JPEG."),
    (rb"%PDF-", "a PDF document", _PAGES),
    (rb"%!PS", "a PostScript document", _PAGES),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive", _UNPACK),
    (rb"\x1f\x8b", "compressed by gzip", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by Zstandard", _UNPACK),
    (rb"BZh[1-9]", "compressed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\0", "compressed by xz", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"(?i:--[^\r\n]{1,200}\r?\ncontent-)", "a multipart form", _RAW),
    (
        rb"[0-9a-fA-F]{1,8}(;chunk-signature=[0-9a-f]{64})?\r\n",
        "an upload that was stored with its chunk framing (aws-chunked)",
        _RAW,
    ),
    (
        rb"\xff\xd8\xff|(\xef\xbf\xbd){2}|\xc3\xbf\xc3\x98|(\xef\xbf\xbd|\xc2?\x89)PNG",
        "an image whose bytes were read or written as text, which changes them",
        "Open the file in binary mode, or use curl --data-binary.",
    ),
)
_TEXT_KINDS = _kinds(
    re.IGNORECASE,
    (rb"<(.*?<)?(!doctype html|html|head|body)\b", "an HTML page", _ITSELF),
    (rb"<(.*?<)?svg[\s>/]", "an SVG drawing", _CONVERT),
    (rb"<[?!a-z]", "an XML document", _ITSELF),
    (rb"\{\s*[\"}]|\[\s*[]\[{\"\d-]", "JSON", _ITSELF),
    (rb"data:", "a data: URI", "Send the bytes that it stands for."),
    (rb"[a-z][a-z0-9+.-]*://\S+\Z", "a URL", _ITSELF),
    (rb"b['\"]", "the text of a Python bytes object (b'...')", _RAW),
    (rb"version https://git-lfs", "a Git LFS pointer", "Run `git lfs pull` first."),
    (rb"http/\d", "an HTTP message with its headers", _RAW),
    (rb"[\w.%+-]+=[^\s]*\Z", "a URL-encoded form", _RAW),
)
