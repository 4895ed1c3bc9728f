"""Base64 of an image is read strictly, and each usual mistake is named."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from boxyard_schemas import Base64Image, UrlImage

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(251, 256)) * 7
ANY_IMAGE = st.binary(max_size=300).map(lambda rest: b"\xff\xd8\xff" + rest)
WRITTEN = base64.b64encode(JPEG).decode()
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def read(text: str) -> bytes:
    return Base64Image.model_validate_json(json.dumps({"base64": text})).base64


def why_not(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        read(text)
    (found,) = caught.value.errors()
    assert found["loc"] == ("base64",)
    return found["msg"]


@given(ANY_IMAGE)
def test_both_alphabets_line_breaks_and_data_uris_give_the_same_image(data: bytes) -> None:
    for text in (
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        base64.encodebytes(data).decode(),
        base64.encodebytes(data).decode().replace("\n", "\r\n"),
        "data:image/jpeg;base64," + base64.b64encode(data).decode(),
        "data:image/jpeg; base64," + base64.urlsafe_b64encode(data).decode(),
        "DATA:image/png;charset=utf-8;base64," + base64.encodebytes(data).decode(),
        " data:;base64;charset=utf-8," + base64.b64encode(data).decode(),
        'data:image/png;name="a,b.png";base64 ,' + base64.b64encode(data).decode(),
        f"data:image/png;name={'x' * 400};base64," + base64.b64encode(data).decode(),
    ):
        assert read(text) == data


@given(ANY_IMAGE, st.data())
def test_no_character_can_be_lost_or_changed_for_one_outside_base64(
    data: bytes, draw: st.DataObject
) -> None:
    text = base64.b64encode(data).decode()
    at = draw.draw(st.integers(1, len(text) - 1))
    other = draw.draw(st.characters(codec="utf-8").filter(lambda it: not (it.isalnum())))
    if other in "\r\n+/-_=":
        return
    why_not(text[:at] + other + text[at:] + "A")
    why_not(text[:at] + other + text[at + 1 :] + "A")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (WRITTEN.replace("+", " "), "spaces"),
        (WRITTEN[:20] + "\t" + WRITTEN[20:], "tabs"),
        (str(base64.b64encode(JPEG)), "Python bytes object"),
        (str(JPEG), "Python bytes object"),
        (f'"{WRITTEN}"', "quotation marks"),
        (quote(WRITTEN, safe=""), "percent-encoded"),
        (WRITTEN[:30] + r"\n" + WRITTEN[30:], "backslashes"),
        (WRITTEN.rstrip("="), "not padded to a multiple of 4"),
        (WRITTEN[:-5], "cut off"),
        (WRITTEN + WRITTEN, "more behind the `=`"),
        (WRITTEN.replace("/", "_", 1), "mixes the two alphabets"),
        (JPEG.decode("latin-1"), "bytes that were read as text"),
        (WRITTEN[:8] + "*" + WRITTEN[8:], "U+002A at position 8"),
        (JPEG.hex(), "hexadecimal"),
        (JPEG.hex() + "a0", "hexadecimal"),
        ("0x" + JPEG.hex().upper(), "hexadecimal"),
        (JPEG.hex(" "), "hexadecimal"),
        (JPEG.hex(":"), "hexadecimal"),
        (str(bytearray(JPEG)), "Python bytes object"),
        ("<memory at 0x7f28cff77400>", "the text of an object"),
        ("[object Blob]", "the text of an object"),
        ("base64," + WRITTEN, "the rest of a data: URI"),
        ("image/jpeg;base64," + WRITTEN, "the rest of a data: URI"),
        ("data:image/jpeg;base64,data:image/jpeg;base64," + WRITTEN, "`data:` twice"),
        ("\ufeff" + WRITTEN, "U+FEFF at position 0"),
        (base64.b64encode(WRITTEN.encode()).decode(), "an image written in base64"),
        (base64.b64encode(HEIC).decode(), "a HEIC image"),
        (base64.b64encode(b"<!doctype html><html>").decode(), "an HTML page"),
        (base64.b64encode(b"\x1f\x8b\x08" + bytes(20)).decode(), "gzip"),
        ("photo.jpg", "the name of a file"),
        ("C:\\images\\photo.jpeg", "a path"),
        ("/data/images/photo.PNG", "the name of a file"),
        ("file:///photo.jpg", "a path or an address"),
        ("gs://bucket/photo.jpg", "a path or an address"),
        ("https://example.com/photo.jpg", "give it as `url`"),
        ("s3://bucket/photo.jpg", "give it as `s3`"),
        ("data:image/svg+xml,%3Csvg/%3E", "not in base64"),
        ('{"image": 1}', "JSON"),
        ("<html>", "HTML or XML"),
        ("photo", "not padded"),
        ("picture1", "unknown kind"),
        ("", "empty"),
        ("data:image/png;base64,", "empty"),
    ],
)
def test_each_mistake_is_named_without_the_bytes(text: str, why: str) -> None:
    message = why_not(text)
    assert why in message
    assert len(message) < 250
    assert "\\x" not in message
    assert "JFIF" not in message


def test_text_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(ValidationError):
        Base64Image.model_validate_json('{"base64": [255, 216, 255]}')


@pytest.mark.parametrize("image", [JPEG, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\xff\xfe\xff"])
def test_the_bytes_of_an_image_are_no_base64_of_it(image: bytes) -> None:
    with pytest.raises(ValidationError, match="the bytes of the image, and not base64"):
        Base64Image(base64=image)


@pytest.mark.parametrize(
    ("url", "form"),
    [
        (f"data:image/jpeg;base64,{WRITTEN}", "base64"),
        (f" DATA:image/jpeg;base64,{WRITTEN * 200}", "base64"),
        ("s3://bucket/key.jpg", "s3"),
    ],
    ids=["data", "long data", "s3"],
)
def test_another_form_given_as_a_url_is_named(url: str, form: str) -> None:
    with pytest.raises(ValidationError, match=f"give it as `{form}`"):
        UrlImage(url=url)
