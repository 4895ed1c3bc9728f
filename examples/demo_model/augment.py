"""A cached picture, moved, scaled, mirrored and tinted into one training example."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo_model.render import bound

SIDE = 256
PAD = 114
LEAST_PIXELS = 60
LEAST_SHARE = 0.3
"""Of an object's pixels, the share that must stay in the crop."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """What the network learns from at one step.

    Attributes:
        pixels: (256, 256, 3) BGR, 0..255.
        boxes: (objects, 4): left, top, right, bottom, in pixels.
        labels: (objects,).
        masks: (objects, 256, 256), 0 or 1.
    """

    pixels: Pixels
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: Pixels


def draw_matrix(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A 2 by 3 matrix from the picture to the model's square; a third only fit and pad it."""
    scale = SIDE / max(height, width)
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    if rng.random() > 0.33:
        zoom, squeeze = rng.uniform(0.65, 1.5), rng.uniform(0.9, 1.1)
        matrix[0, 0] *= zoom * squeeze
        matrix[1, 1] *= zoom / squeeze
        room = SIDE - np.array([width * matrix[0, 0], height * matrix[1, 1]])
        matrix[:, 2] = rng.uniform(np.minimum(room, 0) - 20, np.maximum(room, 0) + 20)
    return matrix


def tint(rng: np.random.Generator, image: Pixels) -> Pixels:
    """Change brightness, contrast and colour cast by one table a channel."""
    levels = np.arange(256, dtype=np.float32)[:, None]
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, 3)
    table = np.clip((levels - 114) * gain + 114 + rng.uniform(-20, 20), 0, 255)
    return np.asarray(cv2.LUT(image, table.astype(np.uint8)[None]), np.uint8)


def augment(
    rng: np.random.Generator, image: Pixels, owners: Pixels, labels: NDArray[np.int64]
) -> Example:
    """Make a training example.

    Args:
        rng: decides everything random about it.
        image: (height, width, 3) BGR.
        owners: (height, width), n where the n-th object is seen, else 0.
        labels: the objects' classes.
    """
    if rng.random() < 0.5:
        image, owners = image[:, ::-1].copy(), owners[:, ::-1].copy()
    matrix = draw_matrix(rng, *owners.shape)
    padded = cv2.warpAffine(image, matrix, (SIDE, SIDE), borderValue=(PAD, PAD, PAD))
    square = np.asarray(padded, np.uint8)
    if rng.random() < 0.7:
        square = tint(rng, square)
    growth = matrix[0, 0] * matrix[1, 1]
    whole = np.bincount(owners.ravel(), minlength=len(labels) + 1) * growth
    placed = cv2.warpAffine(owners, matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST)
    return separate(square, np.asarray(placed, np.uint8), labels, whole)


def separate(
    pixels: Pixels, owners: Pixels, labels: NDArray[np.int64], whole: NDArray[np.float64]
) -> Example:
    """One mask and box an object, without those that the crop has all but lost."""
    areas = np.bincount(owners.ravel(), minlength=len(labels) + 1)[1:]
    kept = np.flatnonzero(areas >= np.maximum(LEAST_PIXELS, LEAST_SHARE * whole[1:]))
    masks = owners == (kept + 1)[:, None, None]
    boxes = np.array([bound(mask) for mask in masks], np.float32).reshape(-1, 4)
    return Example(pixels, boxes, labels[kept], masks.astype(np.uint8))
