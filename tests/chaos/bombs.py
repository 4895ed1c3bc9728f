"""Small files that want to become large pictures, and pictures written in odd ways."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from pictures import encoded, png, scene

_MEGABYTE = bytes(1 << 20)


def gzip_bomb(megabytes: int) -> bytes:
    """So many megabytes of zeros, packed a thousandfold; without the checksum at the end."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    piece = packer.compress(_MEGABYTE * 64) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + piece * (megabytes // 64)


def png_bomb(side: int = 20_000) -> bytes:
    """A true PNG of `side`² pixels of one bit."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_with_text(megabytes: int) -> bytes:
    """A small picture with a compressed remark of so many megabytes."""
    packer = zlib.compressobj(9)
    remark = b"".join(packer.compress(_MEGABYTE) for _ in range(megabytes)) + packer.flush()
    plain = png(scene())
    header_ends = 8 + 25
    text = _chunk(b"zTXt", b"Comment\0\0" + remark)
    return plain[:header_ends] + text + plain[header_ends:]


def jpeg_that_says(width: int, height: int) -> bytes:
    """A small JPEG whose header says another size."""
    data = bytearray(cv2.imencode(".jpg", scene())[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def animation(side: int, frames: int) -> bytes:
    """A WebP of so many frames of `side`² pixels."""
    still = encoded(Image.new("RGB", (side, side), (9, 9, 9)), "WEBP", lossless=True)[12:]
    size = (side - 1).to_bytes(3, "little") * 2
    canvas = _webp_chunk(b"VP8X", b"\x02\0\0\0" + size)
    frame = _webp_chunk(b"ANMF", bytes(6) + size + b"\x64\0\0\0" + still)
    body = b"WEBP" + canvas + _webp_chunk(b"ANIM", bytes(6)) + frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bombs(side: int) -> dict[str, bytes]:
    """Each must fail, or cost no more than an honest picture of `side`² pixels."""
    return {
        "png of 20000² pixels": png_bomb(),
        "png with a remark of 500 MB": png_with_text(500),
        "jpeg that says 65500²": jpeg_that_says(65_500, 65_500),
        f"jpeg that says {side}²": jpeg_that_says(side, side),
        f"webp of 1000 frames of {side}²": animation(side, 1_000),
    }


def odd_pictures() -> dict[str, tuple[bytes, list[str] | None]]:
    """Bytes by name, and the labels that are found; None where it cannot be read."""
    return {**dict(_cut()), **dict(_turned()), **dict(_modes()), **dict(_deep())}


def _cut() -> Iterator[tuple[str, tuple[bytes, None]]]:
    whole = encoded(_red(320, 240), "JPEG")
    for percent in range(5, 100, 10):
        yield f"jpeg cut at {percent} %", (whole[: len(whole) * percent // 100], None)


def _turned() -> Iterator[tuple[str, tuple[bytes, list[str]]]]:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(_red(), "JPEG", quality=95, subsampling=0, exif=exif)
        yield f"jpeg turned by EXIF {orientation}", (data, ["red"])


def _modes() -> Iterator[tuple[str, tuple[bytes, list[str]]]]:
    lossless = {"quality": 95, "subsampling": 0}
    yield "cmyk jpeg", (encoded(_red().convert("CMYK"), "JPEG", **lossless), ["red"])
    yield "palette png", (encoded(_red().convert("P"), "PNG"), ["red"])
    yield "png with alpha", (encoded(_red().convert("RGBA"), "PNG"), ["red"])
    yield "grey png", (encoded(_red().convert("L"), "PNG"), [])
    yield "bitmap", (encoded(_red(), "BMP"), ["red"])
    yield "tiff", (encoded(_red(), "TIFF"), ["red"])


def _deep() -> Iterator[tuple[str, tuple[bytes, list[str]]]]:
    pixels = np.asarray(_red())[..., ::-1].astype(np.uint16) * 257
    for kind in ("png", "tiff"):
        yield f"{kind} of 16 bits", (cv2.imencode(f".{kind}", pixels)[1].tobytes(), ["red"])


def _red(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(scene(width, height)[..., ::-1]))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
