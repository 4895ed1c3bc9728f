"""Every way a picture may be written gives the pixels that MMDetection expects."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from mmcv.image import imfrombytes
from numpy.typing import NDArray
from PIL import Image, ImageOps

from boxyard_schemas.errors import Permanent
from boxyard_worker.decoder.header import read_header
from boxyard_worker.detect.decoders import Decoders, memory_of
from boxyard_worker.detector.contract import Pixels, ResizePlan
from boxyard_worker.detector.resize import resize
from pictures import encoded


@pytest.fixture(scope="module")
def decode() -> Iterator[Decode]:
    """Decodes as the worker does: in a child, within the memory that the header grants."""
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=60)
    yield lambda data: decoders.decode(data, memory_of(data, read_header(data))).pixels
    decoders.close()


Decode = Callable[[bytes], Pixels]


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    """A picture whose every quarter turn and mirror image is another."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def bgr(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))[..., ::-1]


def difference(found: Pixels, expected: Pixels) -> int:
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_whatever_its_orientation(
    decode: Decode, form: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(), form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert difference(decode(data), bgr(upright)) == 0


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *(("JPEG", mode) for mode in ("RGB", "L")),
        *(("PNG", mode) for mode in ("RGB", "L", "LA", "RGBA", "P", "1")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("BMP", mode) for mode in ("RGB", "L", "P", "1")),
        *(("TIFF", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK")),
    ],
)
def test_every_mode_becomes_bgr(decode: Decode, form: str, mode: str) -> None:
    data = encoded(gradient().convert(mode), form)
    assert difference(decode(data), bgr(Image.open(io.BytesIO(data)))) == 0


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpegs_keep_their_colours_with_and_without_adobes_marker(
    decode: Decode, adobe: bool
) -> None:
    data = encoded(gradient().convert("CMYK"), "JPEG", quality=95)
    if not adobe:
        at = data.index(b"\xff\xee")
        data = data[:at] + data[at + 16 :]
    assert difference(decode(data), bgr(Image.open(io.BytesIO(data)))) <= 1


def test_alpha_is_dropped_and_not_blended(decode: Decode) -> None:
    clear = Image.new("RGBA", (5, 4), (10, 20, 30, 0))
    assert (decode(encoded(clear, "PNG")) == (30, 20, 10)).all()


def test_a_tiff_with_alpha_is_laid_on_black_as_mmcv_does(decode: Decode) -> None:
    data = encoded(Image.new("RGBA", (5, 4), (200, 100, 50, 128)), "TIFF")
    assert difference(decode(data), imfrombytes(data)) == 0
    assert decode(data)[0, 0].tolist() == [25, 50, 100]


def test_a_palette_with_transparency_keeps_its_colours(decode: Decode) -> None:
    image = gradient().convert("P")
    data = encoded(image, "PNG", transparency=image.getpixel((0, 0)))
    assert difference(decode(data), bgr(image)) == 0


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_and_not_clipped(
    decode: Decode, extension: str, channels: int
) -> None:
    eight = np.asarray(gradient())[..., ::-1][..., :channels]
    data = cv2.imencode(extension, eight.astype(np.uint16) * 257)[1].tobytes()
    expected = np.broadcast_to(eight, (*eight.shape[:2], 3))
    assert difference(decode(data), expected) == 0


def test_only_the_first_frame_of_an_animation_is_read(decode: Decode) -> None:
    second = Image.new("RGB", (60, 40))
    data = encoded(gradient(), "WEBP", save_all=True, append_images=[second], lossless=True)
    assert difference(decode(data), bgr(gradient())) == 0


@pytest.mark.parametrize("percent", [5, 25, 50, 75, 95])
@pytest.mark.parametrize(
    ("form", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("BMP", {})],
)
def test_a_truncated_picture_is_refused_and_not_half_read(
    decode: Decode, form: str, options: dict[str, bool], percent: int
) -> None:
    data = encoded(gradient(300, 200), form, **options)
    with pytest.raises(Permanent) as caught:
        decode(data[: len(data) * percent // 100])
    assert caught.value.reason == "undecodable-image"


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm(decode: Decode) -> None:
    data = encoded(gradient(), "JPEG")
    assert difference(decode(data + b"appendix"), decode(data)) == 0


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"hello", "this is text"),
        (b"<svg/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"GIF89a" + bytes(20), "a GIF image.*Convert it to JPEG"),
        (b"\0\0\0\x18ftypheic", "a HEIC image.*Convert it to JPEG"),
    ],
)
def test_what_is_no_picture_is_an_unsupported_format_and_named(
    decode: Decode, data: bytes, name: str
) -> None:
    with pytest.raises(Permanent, match=name) as caught:
        decode(data)
    assert caught.value.reason == "unsupported-format"


def test_no_bytes_at_all_are_called_so(decode: Decode) -> None:
    with pytest.raises(Permanent, match="this is empty") as caught:
        decode(b"")
    assert caught.value.reason == "unsupported-format"


@pytest.mark.parametrize("pixels", [np.zeros((4, 5), np.float32), np.zeros((4, 5), np.int32)])
def test_a_tiff_of_numbers_that_no_picture_has_says_what_to_do(
    decode: Decode, pixels: NDArray[Any]
) -> None:
    with pytest.raises(Permanent, match=r"floating point, of 32 bits.*Save it as") as caught:
        decode(encoded(Image.fromarray(pixels), "TIFF"))
    assert caught.value.reason == "undecodable-image"


@pytest.mark.parametrize("signature", [b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"])
def test_a_header_that_ends_too_early_is_said_in_plain_words(
    decode: Decode, signature: bytes
) -> None:
    with pytest.raises(Permanent, match="leads beyond the end of the file") as caught:
        decode(signature)
    assert caught.value.reason == "undecodable-image"


@pytest.mark.parametrize("size", [(1_000_001, 1), (1, 1_000_001)])
def test_a_side_that_no_library_takes_is_named(decode: Decode, size: tuple[int, int]) -> None:
    with pytest.raises(Permanent, match=f"{size[0]}x{size[1]} pixels; a side") as caught:
        decode(encoded(Image.new("L", size), "BMP"))
    assert caught.value.reason == "undecodable-image"


@pytest.mark.parametrize("plan", [ResizePlan(640, 640), ResizePlan(50, 90, keep_ratio=False)])
def test_a_picture_is_resized_where_it_is_decoded_and_its_own_size_told(plan: ResizePlan) -> None:
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=60)
    data = encoded(gradient(300, 200), "PNG")
    decoded = decoders.decode(data, 1 << 30, plan)
    decoders.close()
    assert (decoded.width, decoded.height) == (300, 200)
    assert difference(decoded.pixels, resize(bgr(gradient(300, 200)), plan)) == 0
