"""What bytes are, by how they begin: an image of a format that is read, or something else.

Callers send much that is no image, and operators name files that are no weights. An error names
what came and what to do about it; it never shows the bytes.
"""

from __future__ import annotations

import binascii
import codecs
import re
from enum import Enum
from typing import Literal, NamedTuple, get_args

from .tiff import begins_with_preview

ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

_HEAD = 1024
"""Bytes that are looked at."""


class Remedy(Enum):
    """What to do about a kind of content; the value says it to who sends an image."""

    CONVERT = f"Convert it to {', '.join(IMAGE_FORMATS[:-1])} or {IMAGE_FORMATS[-1]}."
    ENCODE = "Encode it as PNG or JPEG."
    DECODE = "Decode it, and send the bytes of the image."
    UNPACK = "Unpack it, and send the bytes of the image."
    RAW = "Send the bytes of the image alone, as in: curl --data-binary @image.jpg"
    BINARY = "Open the file in binary mode, or use curl --data-binary."
    FRAMES = "Send single frames of it as JPEG or PNG."
    PAGES = "Send its pages as JPEG or PNG."
    ITSELF = "Send the image itself, not a page or a message about it."
    BYTES = "Send the bytes of an image."
    REFERRED = "Send the bytes that it stands for."
    PULL = "Run `git lfs pull` first."


class Content(NamedTuple):
    """A kind of content that is not read as an image.

    Attributes:
        name: with its article, as in "a GIF image".
        remedy: what to do about it.
    """

    name: str
    remedy: Remedy

    @property
    def advice(self) -> str:
        """A sentence that says what to do, to who sends an image."""
        return self.remedy.value

    def __str__(self) -> str:
        return f"this is {self.name}. {self.advice}"


def image_format(data: bytes) -> ImageFormat | None:
    """The image format that the bytes begin as, if it is one of those that are read."""
    for pattern, name in _IMAGES:
        if pattern.match(data):
            return None if name == "TIFF" and begins_with_preview(data) else name
    return None


def identify(data: bytes) -> Content:
    """What the bytes are, where `image_format` knows none."""
    if not data:
        return Content("empty", Remedy.BYTES)
    head = bytes(data[:_HEAD])
    return _binary_kind(head) or _text_kind(head)


def is_text(data: bytes) -> bool:
    """Whether the bytes begin as a text does, in UTF-8 or with a mark that says UTF-16."""
    return _as_text(bytes(data[:_HEAD])) is not None


def is_hexadecimal(text: bytes) -> bool:
    """Whether these are the hexadecimal digits of an image. They may be base64 of other bytes."""
    digits = _HEXADECIMAL.match(text)
    return bool(digits and image_format(bytes.fromhex(digits[1].decode().replace(":", " "))))


def _binary_kind(head: bytes) -> Content | None:
    for pattern, content in _BINARY_KINDS:
        if pattern.match(head):
            return content
    if _TIFF.match(head):
        return PREVIEW
    return PADDED if image_format(head.removeprefix(codecs.BOM_UTF8).lstrip()) else None


def _text_kind(head: bytes) -> Content:
    text = _as_text(head)
    if text is None:
        return UNKNOWN
    if written := _image_as_text(text):
        return written
    return next((content for pattern, content in _TEXT_KINDS if pattern.match(text)), TEXT)


def _as_text(head: bytes) -> bytes | None:
    """The head in UTF-8 without byte order mark and spaces; None where it is not text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    whole = text.decode("utf-8", "ignore").encode()
    # The head may end within a character, of up to four bytes; or it is in another encoding.
    lost = len(text) - len(whole)
    return None if _CONTROLS.search(text) or lost >= 4 or 4 * lost > len(text) else text


def _image_as_text(text: bytes) -> Content | None:
    compact = re.sub(rb"[\r\n]", b"", text)
    if is_hexadecimal(compact):
        return Content("an image written in hexadecimal", Remedy.DECODE)
    letters = re.match(rb"(?:[\w+/-]{4}){6,16}", compact)
    if letters and image_format(binascii.a2b_base64(letters[0].translate(FROM_URL_SAFE))):
        return Content("an image written in base64", Remedy.DECODE)
    return None


TEXT = Content("text", Remedy.BYTES)
PREVIEW = Content(
    "a raw image of a camera, or a TIFF image whose first page is a thumbnail", Remedy.CONVERT
)
PADDED = Content("an image behind a byte order mark or spaces", Remedy.RAW)
UNKNOWN = Content("binary data of an unknown kind", Remedy.CONVERT)

FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
"""The URL-safe alphabet of base64 to the standard one."""
_HEXADECIMAL = re.compile(rb"(?:0x|\\x)?((?:[0-9a-f]{2}[ :]?){4,32})", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
_IMAGES: tuple[tuple[re.Pattern[bytes], ImageFormat], ...] = (
    # Without the null bytes and line breaks that a text may not have, it is none any more.
    (re.compile(rb"\xff\xd8\xff(?!\xe0.?JFIF|\xe1.?Exif)", re.DOTALL), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WEBP"),
    # "BM" begins many a text: the size of the second header must be one that exists.
    (re.compile(rb"BM(\Z|.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0)", re.DOTALL), "BMP"),
    (_TIFF, "TIFF"),
)


def _kinds(
    flags: int, *kinds: tuple[bytes, str, Remedy]
) -> tuple[tuple[re.Pattern[bytes], Content], ...]:
    return tuple(
        (re.compile(pattern, re.DOTALL | flags), Content(name, remedy))
        for pattern, name, remedy in kinds
    )


_BINARY_KINDS = _kinds(
    0,
    (rb"GIF8", "a GIF image", Remedy.CONVERT),
    (rb".{4}ftyp(.{4})*?avi[fs]", "an AVIF image", Remedy.CONVERT),
    (rb".{4}ftyp(.{4})*?(hei[cmsx]|hev[cmsx]|miaf|mif1|msf1)", "a HEIC image", Remedy.CONVERT),
    (rb"FUJIFILMCCD-RAW|FOVb|IIU\0|IIR[OS]\x08", "a raw image of a camera", Remedy.CONVERT),
    (rb"#\?R(ADIANCE|GBE)", "a Radiance HDR image", Remedy.CONVERT),
    (rb"SIMPLE  = ", "a FITS image", Remedy.CONVERT),
    (rb"gimp xcf", "a GIMP image", Remedy.CONVERT),
    (rb".{4}ftypcrx ", "a raw image of a camera (CR3)", Remedy.CONVERT),
    (rb".{4}(ftyp|moov|mdat)", "an MP4 or QuickTime video", Remedy.FRAMES),
    (rb"\x1aE\xdf\xa3", "a WebM or Matroska video", Remedy.FRAMES),
    (rb"RIFF.{4}AVI ", "an AVI video", Remedy.FRAMES),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image", Remedy.CONVERT),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL image", Remedy.CONVERT),
    (rb"II\xbc\x01", "a JPEG XR image", Remedy.CONVERT),
    (rb"8BPS\0", "a Photoshop file", Remedy.CONVERT),
    (rb"v/1\x01", "an OpenEXR image", Remedy.CONVERT),
    (rb"DDS \x7c", "a DDS image", Remedy.CONVERT),
    (rb"qoif", "a QOI image", Remedy.CONVERT),
    (rb"\0\0[\x01\x02]\0[^\0]\0", "an icon (ICO)", Remedy.CONVERT),
    (rb"P[1-7]\s+[\d#W]", "a PNM image", Remedy.CONVERT),
    (rb".{128}DICM", "a DICOM file", Remedy.CONVERT),
    (rb"\x93NUMPY", "a NumPy array", Remedy.ENCODE),
    (rb"%PDF-", "a PDF document", Remedy.PAGES),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", Remedy.PAGES),
    (rb"\x89HDF\r\n", "an HDF5 file", Remedy.BYTES),
    (rb"GGUF", "a GGUF file", Remedy.BYTES),
    (rb".{4}TFL3", "a TensorFlow Lite model", Remedy.BYTES),
    (rb"SQLite format 3\0", "an SQLite database", Remedy.BYTES),
    (rb"\x7fELF|MZ.\0", "a program", Remedy.BYTES),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive", Remedy.UNPACK),
    (rb"\x1f\x8b", "compressed by gzip", Remedy.UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by Zstandard", Remedy.UNPACK),
    (rb"BZh[1-9]", "compressed by bzip2", Remedy.UNPACK),
    (rb"\xfd7zXZ\0", "compressed by xz", Remedy.UNPACK),
    (rb"\x04\x22\x4d\x18", "compressed by LZ4", Remedy.UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", Remedy.UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", Remedy.UNPACK),
    (rb".{257}ustar", "a tar archive", Remedy.UNPACK),
    (
        rb"([^\r\n]{0,200}\r?\n){0,3}--\S{0,70}[A-Za-z0-9]\S{0,70}\r?\n([A-Za-z][\w-]*:|\r?\n)",
        "a multipart form",
        Remedy.RAW,
    ),
    (
        rb"HTTP/\d(\.\d)? \d{3}\b|[A-Z]{3,7} \S{1,500} HTTP/\d",
        "an HTTP message with its headers",
        Remedy.RAW,
    ),
    (
        rb"[0-9a-fA-F]{1,8}(;chunk-signature=[0-9a-f]{64})?\r\n",
        "an upload that was stored with its chunk framing (aws-chunked)",
        Remedy.RAW,
    ),
    (
        rb"\xff\xd8\xff|(\xef\xbf\xbd){2}|\xc3\xbf\xc3\x98|(\xef\xbf\xbd|\xc2?\x89)PNG",
        "an image whose bytes were read or written as text, which changes them",
        Remedy.BINARY,
    ),
)
_TEXT_KINDS = _kinds(
    re.IGNORECASE,
    (rb"<(.*?<)?(!doctype html|html|head|body)\b", "an HTML page", Remedy.ITSELF),
    (rb"<(script|meta|title|div|center|h1|p)\b", "an HTML page", Remedy.ITSELF),
    (rb"<(.*?<)?svg[\s>/]", "an SVG drawing", Remedy.CONVERT),
    (rb"<[?!a-z]", "an XML document", Remedy.ITSELF),
    (rb"\{\s*[\"}]|\[\s*[]\[{\"\d-]", "JSON", Remedy.ITSELF),
    (rb"data:", "a data: URI", Remedy.REFERRED),
    (rb"[a-z][a-z0-9+.-]*://\S+\Z", "a URL", Remedy.ITSELF),
    (rb"b['\"]", "the text of a Python bytes object (b'...')", Remedy.RAW),
    (rb"version https://git-lfs", "a Git LFS pointer", Remedy.PULL),
    (rb"[\w.%+-]+=[^\s]*\Z", "a URL-encoded form", Remedy.RAW),
)
