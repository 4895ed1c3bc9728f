"""Pictures for the stand-in detector, and bytes of pictures for everybody."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image

from boxyard_worker.detector.contract import Pixels
from boxyard_worker.detector.standin import Trouble

GREY = 120


def scene(width: int = 64, height: int = 48) -> Pixels:
    """One red rectangle, from (8, 6) to (24, 18), on grey."""
    pixels = np.full((height, width, 3), GREY, np.uint8)
    pixels[6:18, 8:24] = (0, 0, 255)
    return pixels


def trouble(kind: Trouble, width: int = 64, height: int = 48) -> Pixels:
    """A scene that makes the stand-in misbehave."""
    pixels = scene(width, height)
    pixels[0, 0] = kind.value
    return pixels


def png(pixels: Pixels) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()
