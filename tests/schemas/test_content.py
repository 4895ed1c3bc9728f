"""What bytes are, by how they begin."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from boxyard_schemas.content import IMAGE_FORMATS, identify, image_format

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(60)


@pytest.mark.parametrize("name", IMAGE_FORMATS)
def test_each_format_that_is_read_is_recognised(name: str) -> None:
    data = io.BytesIO()
    Image.new("RGB", (8, 6)).save(data, name)
    assert image_format(data.getvalue()) == name


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_file_whose_first_page_is_a_reduced_copy_is_no_image(big: bool) -> None:
    def tiff(size: int, other: int, tags: dict[int, object]) -> bytes:
        data, pages = io.BytesIO(), [Image.new("L", (size, 6)), Image.new("L", (other, 6))]
        pages[0].save(
            data, "TIFF", save_all=True, append_images=pages[1:], tiffinfo=tags, big_tiff=big
        )
        return data.getvalue()

    for tags in ({}, {254: 0}, {254: 2}):
        assert image_format(tiff(8, 4, tags)) == "TIFF"
    for tags in ({254: 1}, {50706: b"\1\4\0\0"}):
        data = tiff(4, 8, tags)
        assert image_format(data) is None
        assert identify(data).name.startswith("a raw image of a camera")
        assert image_format(data[:16]) == "TIFF"  # its tags are not there yet


def test_a_raw_image_of_a_canon_camera_is_no_image() -> None:
    data = b"II*\0\x10\0\0\0CR\2\0" + bytes(20)
    assert image_format(data) is None
    assert identify(data).name.startswith("a raw image of a camera")


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=64))
def test_whatever_follows_the_mark_of_a_tiff_file_is_read_to_an_answer(
    mark: bytes, rest: bytes
) -> None:
    assert image_format(mark + rest) in ("TIFF", None)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(20), "a GIF image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1", "an AVIF image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "an AVIF image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (b"\0\0\0\x18ftypheix", "a HEIC image"),
        (b"\0\0\0\x18ftypmiaf", "a HEIC image"),
        (b"FUJIFILMCCD-RAW 0201", "a raw image of a camera"),
        (b"\xef\xbb\xbf" + JPEG, "an image behind a byte order mark or spaces"),
        (b"\r\n" + JPEG, "an image behind a byte order mark or spaces"),
        (b"\r\n--b1\r\nMIME-Version: 1.0\r\n\r\n" + JPEG, "a multipart form"),
        (b"Parts:\r\n--b1\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG, "a multipart form"),
        (b"--b1\r\n\r\n" + JPEG, "a multipart form"),
        (b"---\ntitle: a page of Markdown\n", "text"),
        (b"HTTP/1.1 200 OK\r\nServer: a\r\n\r\n" + JPEG, "an HTTP message with its headers"),
        (b"PUT /a.jpg HTTP/1.1\r\nHost: a\r\n\r\n" + JPEG, "an HTTP message with its headers"),
        (b"SIMPLE  =                    T", "a FITS image"),
        (b"gimp xcf file", "a GIMP image"),
        (b"#?RADIANCE\n", "a Radiance HDR image"),
        (b"\xc5\xd0\xd3\xc6" + bytes(20), "a PostScript document"),
        (b"\xff\xd8", "binary data of an unknown kind"),
        ("gr\u00fcn\n".encode("latin-1"), "text"),
        (b"\0\0\0\x18ftypmif1", "a HEIC image"),
        (b"\0\0\0\x18ftypisom", "an MP4 or QuickTime video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"\x28\xb5\x2f\xfd", "compressed by Zstandard"),
        (b"\x93NUMPY\x01", "a NumPy array"),
        (b"<svg/>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!-- a -->\n<svg xmlns='x'>", "an SVG drawing"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML>", "an HTML page"),
        (b"<html><body><svg >", "an HTML page"),
        (b"<div>Sign in</div>", "an HTML page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
        (b"\x04\x22\x4d\x18" + bytes(20), "compressed by LZ4"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey", "an XML document"),
        (b' {"error": "no"}', "JSON"),
        ('[{"a": 1}]'.encode("utf-16"), "JSON"),
        (b"--x1\r\nContent-Disposition: form-data; name=file\r\n\r\n" + JPEG, "a multipart form"),
        (b"image=%FF%D8%FF", "a URL-encoded form"),
        (b"https://example.com/a.jpg\n", "a URL"),
        (b"data:image/png;base64,AAAA", "a data: URI"),
        (str(JPEG).encode(), "the text of a Python bytes object (b'...')"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (base64.encodebytes(JPEG), "an image written in base64"),
        (base64.urlsafe_b64encode(JPEG), "an image written in base64"),
        (JPEG.hex().encode(), "an image written in hexadecimal"),
        (b"BMW 320, red", "text"),
        ("größe ".encode() * 300, "text"),
        (bytes(40), "binary data of an unknown kind"),
    ],
)
def test_what_is_no_readable_image_is_named(data: bytes, name: str) -> None:
    assert image_format(data) is None
    assert identify(data).name == name


@pytest.mark.parametrize(
    "changed",
    [
        b"\x89PNG\n\x1a\n" + bytes(20),
        b"\x89PNG\r\r\n\x1a\r\n" + bytes(20),
        JPEG.translate(None, b"\0\r\n"),
        b"\xff\xd8\xff\xe1" + b"\x0cExifMM*",
        JPEG.decode("latin-1").encode(),
        JPEG.decode("utf-8", "replace").encode(),
        (b"\x89PNG\r\n\x1a\n" + bytes(20)).decode("utf-8", "replace").encode(),
    ],
)
def test_an_image_that_was_treated_as_text_is_named(changed: bytes) -> None:
    assert image_format(changed) is None
    assert "as text" in identify(changed).name


@given(st.binary(max_size=2000))
@example(b"<" * 2000)
@example(b"<!---->" * 200)
@example(b"\0\0\0\0ftyp" + b"abcd" * 300)
def test_anything_gets_a_name_that_shows_none_of_its_bytes(data: bytes) -> None:
    known = identify(data)
    assert str(known).isascii()
    assert known.advice.endswith((".", ".jpg"))
