"""Fetched bytes → the pixels that MMDetection expects.

OpenCV decodes, as mmcv does, so the pixels are the same to the last bit: BGR, 8 bits, upright by
the EXIF orientation, the first frame only. Greyscale and palette become colour, CMYK is converted,
16 bits are shifted down to 8, and alpha is dropped, not blended. Pillow reads the header before,
so that nothing large is made of a small file.
"""

from __future__ import annotations

import io
from typing import cast

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from boxyard_schemas.errors import Permanent
from boxyard_worker.detector.contract import Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")


def decode(data: bytes, *, max_pixels: int) -> Pixels:
    """Decodes a picture.

    Args:
        data: the file's bytes.
        max_pixels: cap on width times height, judged by the header.

    Returns:
        `(height, width, 3)`, uint8, BGR, upright.

    Raises:
        Permanent: `unsupported-format`, `too-many-pixels` or `undecodable-image`.
    """
    width, height = _read_header(data)
    if width * height > max_pixels:
        raise _too_many(f"{width}x{height} pixels", max_pixels)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise _undecodable(f"The decoder refused it: {error.err}.") from error
    if pixels is None:
        raise _undecodable("The file is truncated or damaged.")
    return cast("Pixels", pixels)


def _read_header(data: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Permanent("too-many-pixels", str(error)) from error
    except UnidentifiedImageError as error:
        raise Permanent("unsupported-format", _unsupported(data)) from error
    except Exception as error:  # a damaged header makes Pillow raise almost anything
        raise _undecodable(f"The header is damaged: {error}.") from error


def _unsupported(data: bytes) -> str:
    known = ", ".join(FORMATS)
    return f"{len(data)} bytes beginning {data[:8]!r} are not a readable picture of {known}."


def _too_many(found: str, allowed: int) -> Permanent:
    return Permanent("too-many-pixels", f"The picture has {found}; at most {allowed} are read.")


def _undecodable(detail: str) -> Permanent:
    return Permanent("undecodable-image", f"The picture cannot be decoded. {detail}")
