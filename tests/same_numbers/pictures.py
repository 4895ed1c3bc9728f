"""Pictures of coloured blobs, the same one for the same width and height."""

from __future__ import annotations

import cv2
import numpy as np

from boxyard_worker.detector.contract import Pixels


def paint(width: int, height: int) -> Pixels:
    """BGR pixels."""
    random = np.random.default_rng(width * 10007 + height)
    coarse = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    blobs = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(blobs)


def paint_file(width: int, height: int, *, upside_down: bool = False) -> bytes:
    """The same in a PNG file."""
    pixels = paint(width, height)
    return cv2.imencode(".png", pixels[::-1] if upside_down else pixels)[1].tobytes()
