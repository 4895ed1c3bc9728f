"""Images written as base64: read strictly, so that a damaged text never becomes another image."""

from __future__ import annotations

import binascii
import re

from pydantic import EncoderProtocol
from pydantic_core import PydanticCustomError

from .content import FROM_URL_SAFE, identify, image_format, is_hexadecimal

_DATA_URI = re.compile(rb"\s*data:((?:\"[^\"]*\"|[^,\"])*),", re.IGNORECASE)
_IN_BASE64 = re.compile(rb";\s*base64\s*(?:;|\Z)", re.IGNORECASE)
_MOST_HEAD = 1000
"""Bytes of a `data:` URI in front of its content."""
_NO_LETTER = re.compile(rb"[^A-Za-z0-9+/=]")
_WANTED = "give the bytes of the image, in base64"
_EMPTY = f"this is empty; {_WANTED}"


class ImageText(EncoderProtocol):
    """Base64 of an image, in the standard or the URL-safe alphabet, padded.

    Line breaks, as MIME has them, and the beginning of a `data:` URI are left out.
    """

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """The image.

        Raises:
            PydanticCustomError: it is not base64, or not of an image that is read; says why.
        """
        if image_format(data):
            raise _refused("these are the bytes of the image, and not base64 of them")
        text = _without_data_uri(data.lstrip().rstrip(b"\r\n"))
        letters = text.translate(None, b"\r\n")
        if b"+" not in letters and b"/" not in letters:
            letters = letters.translate(FROM_URL_SAFE)
        if is_hexadecimal(letters):
            raise _refused(f"this is hexadecimal; {_WANTED}")
        try:
            image = binascii.a2b_base64(letters, strict_mode=True)
        except binascii.Error:
            raise _refused(_why_not_base64(text, letters)) from None
        if not image_format(image):
            raise _refused(f"decoded from base64, {identify(image)}" if letters else _EMPTY)
        return image

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """The image in base64."""
        return binascii.b2a_base64(value, newline=False)

    @classmethod
    def get_json_format(cls) -> str:
        """The format's name in JSON Schema."""
        return "base64"


def is_data_uri(text: bytes) -> bool:
    """Whether it begins as a `data:` URI does."""
    return text.lstrip()[:5].lower() == b"data:"


def split_data_uri(text: bytes) -> tuple[bool, bytes] | None:
    """Whether the content of a `data:` URI (RFC 2397) is in base64, and that content as it is.

    None where no comma, in front of which parameters may be quoted, begins the content.
    """
    if not (head := _DATA_URI.match(text[:_MOST_HEAD])):
        return None
    return bool(_IN_BASE64.search(head[1])), text[head.end() :]


def _without_data_uri(text: bytes) -> bytes:
    if not is_data_uri(text):
        return text
    is_base64, content = split_data_uri(text) or (False, b"")
    if not is_base64:
        raise _refused(f"this data: URI is not in base64; {_WANTED}")
    return content


def _why_not_base64(text: bytes, letters: bytes) -> str:
    for form, why in _FORMS:
        if form.match(text):
            return why
    if not (found := _NO_LETTER.search(letters)):
        return _why_not_padded(letters)
    character = letters[found.start() : found.start() + 4].decode("utf-8", "replace")[0]
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    why = f"the character U+{ord(character):04X} at position {found.start()} is not base64"
    if not character.isascii():
        return f"{why}; bytes that were read as text have such characters, so {_WANTED}"
    return why


def _why_not_padded(letters: bytes) -> str:
    if b"=" in letters.rstrip(b"="):
        return "there is more behind the `=` that ends base64: give one text for each image"
    return (
        f"its {len(letters)} characters are not padded to a multiple of 4 by `=`: the text was cut "
        "off, or its padding left out"
    )


def _refused(why: str) -> PydanticCustomError:
    return PydanticCustomError("image_text", "{why}", {"why": why})


_PART = "this is the rest of a data: URI: give the whole URI, or what follows its comma alone"
_FORMS = tuple(
    (re.compile(form, re.IGNORECASE), why)
    for form, why in (
        (
            rb"(bytearray\()?b['\"]",
            f"this is the text of a Python bytes object (b'...'), of str(); {_WANTED}",
        ),
        (
            rb"<[^<>]* at 0x|\[object ",
            f"this is the text of an object, as str() makes it; {_WANTED}",
        ),
        (rb"(\w+/[\w.+-]+)?(; *base64 *)?,|base64[,:]", _PART),
        (rb"data:", "this begins with `data:` twice: give a data: URI once"),
        (rb"['\"]", "this has quotation marks around it: leave them out"),
        (rb"https?://", "this is a URL: give it as `url`"),
        (rb"s3://", "this is an S3 URI: give it as `s3`"),
        (rb"[a-z][a-z0-9+.-]*:[/\\]", f"this is a path or an address; {_WANTED}"),
        (rb"[{\[]", f"this is JSON; {_WANTED}"),
        (rb"<", f"this is HTML or XML; {_WANTED}"),
        (rb"[^\r\n]{0,4096}\.[a-z][a-z0-9]{1,4}\Z", f"this is the name of a file; {_WANTED}"),
    )
)
_CHARACTERS = {
    " ": "this has spaces in it, as where `+` was sent in a form or a URL without being encoded",
    "\t": "this has tabs in it; base64 may be broken into lines, and no more",
    "%": "this is percent-encoded, as in forms and URLs: decode that first",
    "\\": "this has backslashes in it: it was escaped once more than JSON needs",
    "-": "this mixes the two alphabets of base64: `+` and `/`, and the URL-safe `-` and `_`",
    "_": "this mixes the two alphabets of base64: `+` and `/`, and the URL-safe `-` and `_`",
}
