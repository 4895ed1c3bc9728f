"""A picture of cartons, bottles and cans with its truth, made from a seed alone."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo_model.clutter import CLUTTER
from demo_model.objects import DRAWERS
from demo_model.scenes import cast_shadow, draw_backdrop, photograph
from demo_model.shapes import Array, Sprite

CLASSES = tuple(DRAWERS)
LEAST_VISIBLE = 0.25
"""An object of which less than this share is in view is no part of the truth."""
LEAST_PIXELS = 120

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """A rendered scene.

    Attributes:
        image: (height, width, 3) BGR, 0..255.
        owners: (height, width); 0 is background, n the n-th object's visible part.
        labels: the class of each object, an index into `CLASSES`.
    """

    image: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    labels: tuple[int, ...]

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The visible part of the object with this index (from 0)."""
        return np.asarray(self.owners == index + 1)

    def box(self, index: int) -> Box:
        """The object's visible part as left, top, right, bottom; right and bottom exclusive."""
        return bound(self.mask(index))


def bound(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def render(seed: int, size: tuple[int, int] | None = None) -> Picture:
    """Draw the picture of a seed.

    Args:
        seed: the same seed gives the same picture.
        size: (height, width) in pixels; by default drawn too, 240 to 480 a side.
    """
    rng = np.random.default_rng(seed)
    height, width = size or (int(rng.integers(240, 481)), int(rng.integers(240, 481)))
    scene, horizon = draw_backdrop(rng, height, width)
    owners = np.zeros((height, width), np.uint8)
    light = float(rng.uniform(-0.85, 0.85))
    labels: list[int] = []
    whole: list[float] = []
    for ground, label in plan(rng, horizon, height):
        place = _Place(ground, near=(ground - horizon) / max(height - horizon, 1))
        sprite, foot = pose(rng, label, place, light, owners)
        labels.extend([label] * (label >= 0))
        whole.extend([float(sprite.cover.sum())] * (label >= 0))
        cast_shadow(scene, foot, sprite.cover.shape[1] / 2, light)
        paste(scene, owners, sprite, foot, len(labels) if label >= 0 else 0)
    shot = np.clip(photograph(rng, scene) * 255 + 0.5, 0, 255).astype(np.uint8)
    return keep_visible(shot, owners, labels, whole)


@dataclass(frozen=True)
class _Place:
    ground: float
    near: float


def plan(rng: np.random.Generator, horizon: int, height: int) -> list[tuple[float, int]]:
    """The row and label of everything that will stand there, the farthest first; clutter is -1."""
    count, clutter = int(rng.integers(1, 7)), int(rng.integers(0, 5))
    labels = [*rng.integers(0, len(CLASSES), count).tolist(), *[-1] * clutter]
    grounds = rng.uniform(horizon + 0.1 * (height - horizon), height * 1.03, len(labels))
    return sorted(zip(grounds.tolist(), labels, strict=True))


def pose(
    rng: np.random.Generator,
    label: int,
    place: _Place,
    light: float,
    owners: NDArray[np.uint8],
) -> tuple[Sprite, tuple[float, float]]:
    """Draw one object, lean or lay it, and choose where its foot (x, y) goes."""
    share = rng.uniform(0.26, 0.5) * (0.65 + 0.55 * place.near)
    tall = int(np.clip(share * min(owners.shape) * 1.15, 40, 0.85 * owners.shape[0]))
    if label < 0:
        draw = CLUTTER[int(rng.integers(len(CLUTTER)))]
    else:
        draw = DRAWERS[CLASSES[label]]
        tall = int(tall * (0.75 if CLASSES[label] == "can" else 1.05))
    angle = rng.normal(0, 5) if rng.random() < 0.88 else rng.choice([-90, 90]) + rng.normal(0, 12)
    sprite = rotate(draw(rng, tall, light), float(angle))
    return sprite, (choose_column(rng, sprite, place.ground, owners), place.ground)


def choose_column(
    rng: np.random.Generator, sprite: Sprite, ground: float, owners: NDArray[np.uint8]
) -> float:
    """Of a few random places along the ground, the one that hides least of what stands there."""
    tall, wide = sprite.cover.shape
    tries = rng.uniform(0.25 * wide, owners.shape[1] - 0.25 * wide, int(rng.integers(1, 5)))
    top = max(int(ground) - tall, 0)

    def hidden(x: float) -> int:
        left = max(int(x - wide / 2), 0)
        return int(np.count_nonzero(owners[top : int(ground), left : int(x + wide / 2)]))

    return float(min(tries, key=hidden))


def rotate(sprite: Sprite, degrees: float) -> Sprite:
    """Turn a sprite about its middle, enlarging its canvas."""
    height, width = sprite.cover.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    wide, tall = int(width * cos + height * sin) + 2, int(width * sin + height * cos) + 2
    matrix[:, 2] += (wide - width) / 2, (tall - height) / 2
    tinted = np.dstack((sprite.colour * sprite.opacity[..., None], sprite.opacity))
    turned = np.asarray(cv2.warpAffine(tinted, matrix, (wide, tall)), np.float32)
    cover = np.asarray(cv2.warpAffine(sprite.cover, matrix, (wide, tall)), np.float32)
    left, top, right, low = bound(cover > 0.5)
    crop = np.s_[top:low, left:right]
    return Sprite(turned[crop][..., :3], turned[crop][..., 3], cover[crop])


def paste(
    scene: Array,
    owners: NDArray[np.uint8],
    sprite: Sprite,
    foot: tuple[float, float],
    owner: int,
) -> None:
    """Lay a rotated sprite, its colour already weighted by opacity, over the scene."""
    tall, wide = sprite.cover.shape
    left, top = int(foot[0] - wide / 2), int(foot[1] - tall)
    height, width = owners.shape
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, width), min(top + tall, height)
    if x1 <= x0 or y1 <= y0:
        return
    cut, hole = np.s_[y0 - top : y1 - top, x0 - left : x1 - left], np.s_[y0:y1, x0:x1]
    scene[hole] = scene[hole] * (1 - sprite.opacity[cut][..., None]) + sprite.colour[cut]
    owners[hole][sprite.cover[cut] > 0.5] = owner


def keep_visible(
    image: NDArray[np.uint8], owners: NDArray[np.uint8], labels: list[int], whole: list[float]
) -> Picture:
    """Number the objects anew, without those of which too little is in view."""
    areas = np.bincount(owners.ravel(), minlength=len(labels) + 1)[1:]
    least = np.maximum(LEAST_VISIBLE * np.array(whole), LEAST_PIXELS)
    kept = [index for index in range(len(labels)) if areas[index] >= least[index]]
    renumber = np.zeros(256, np.uint8)
    renumber[[index + 1 for index in kept]] = np.arange(1, len(kept) + 1)
    return Picture(image, renumber[owners], tuple(labels[index] for index in kept))
