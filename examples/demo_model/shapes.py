"""Sprites and the two ways to build one: turned on a lathe, or folded from flat faces."""

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = tuple[float, float, float]
"""Blue, green, red, each 0..1."""


@dataclass(frozen=True)
class Sprite:
    """An object cut out of its scene, upright; its last row stands on the ground.

    Attributes:
        colour: (height, width, 3) BGR, 0..1.
        opacity: (height, width), 0..1; below 1 the background shows through.
        cover: (height, width), 1 inside the outline, 0 outside.
    """

    colour: Array
    opacity: Array
    cover: Array


@dataclass(frozen=True)
class Lathe:
    """The visible surface of a turned body, one value a pixel.

    Attributes:
        across: -1 at the left outline, 0 in the middle, 1 at the right outline.
        down: 0 at the body's upper edge, 1 at its foot, measured on the surface.
        outline: where the body is.
        lid: where its upper face is.
    """

    across: Array
    down: Array
    outline: Mask
    lid: Mask

    def band(self, start: float, end: float) -> Mask:
        """Where the surface lies between two heights, the lid left out."""
        return (self.down >= start) & (self.down <= end) & ~self.lid

    def patch(self, across: float, down: float, width: float, height: float) -> Mask:
        """An oval on the surface, by its centre and half axes."""
        x = (self.across - across) / width
        y = (self.down - down) / height
        return (x * x + y * y < 1) & ~self.lid

    def tone(self, light: float, ambient: float) -> Array:
        """Matt shading 0..1 for a light from the left (-1) to the right (1)."""
        depth = np.sqrt(np.clip(1 - self.across**2, 0, 1))
        facing = np.clip(self.across * light + depth * np.sqrt(1 - light**2), 0, 1)
        return np.asarray(ambient + (1 - ambient) * facing, np.float32)

    def gloss(self, across: float, width: float) -> Array:
        """An upright streak of reflected light, 0..1."""
        return np.asarray(np.exp(-(((self.across - across) / width) ** 2)), np.float32)


def turn(knots: list[tuple[float, float]], height: int, tilt: float, ripple: float = 0) -> Lathe:
    """Turn a profile into a body seen from slightly above.

    Args:
        knots: (distance from the top, radius), both in heights of the body.
        height: of the body without its rounding towards the viewer, in pixels.
        tilt: how round the horizontal circles look, 0 (from the side) to about 0.3.
        ripple: depth of ribs around the body, in heights.
    """
    at, radii = zip(*knots, strict=True)
    lip = max(radii) * tilt
    half = int(np.ceil(max(radii) * height)) + 2
    y = np.arange(-lip * height - 1, (1 + lip) * height + 2, dtype=np.float32)[:, None] / height
    x = np.arange(-half, half + 1, dtype=np.float32)[None, :] / height
    radius = np.interp(y, at, radii).astype(np.float32)
    radius = cv2.blur(radius, (1, max(1, height // 24) | 1))
    radius += ripple * np.sin(y * 90) * (radius > 0.9 * max(radii))
    across = np.clip(x / radius, -1, 1)
    round_ = tilt * radius * np.sqrt(np.clip(1 - across**2, 0, 1))
    outline = (np.abs(x) < radius) & (y > -round_) & (y < 1 + round_)
    return Lathe(across, np.clip(y - round_, 0, 1), outline, outline & (y < round_))


def fill(canvas: Array, points: list[tuple[float, float]], colour: Colour) -> None:
    """Paint a polygon, points in pixels, onto (height, width, 4): a colour and its cover."""
    corners = np.round(np.array(points) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [corners], (*colour, 1), lineType=cv2.LINE_AA, shift=4)


def within(
    quad: list[tuple[float, float]], left: float, top: float, right: float, bottom: float
) -> list[tuple[float, float]]:
    """A rectangle of a face, given in fractions of it, as points on the picture.

    Args:
        quad: the face's corners: upper left, upper right, lower right, lower left.
        left: 0..1 across the face.
        top: 0..1 down the face.
        right: 0..1 across the face.
        bottom: 0..1 down the face.
    """
    a, b, c, d = (np.array(point) for point in quad)
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    placed = [(1 - y) * ((1 - x) * a + x * b) + y * ((1 - x) * d + x * c) for x, y in points]
    return [(float(x), float(y)) for x, y in placed]


def vivid(rng: np.random.Generator, hue: float | None = None) -> Colour:
    """A saturated colour, of any hue unless one is named (0..1)."""
    chosen = rng.random() if hue is None else hue + rng.normal(0, 0.02)
    red, green, blue = colorsys.hsv_to_rgb(
        chosen % 1, rng.uniform(0.55, 0.95), rng.uniform(0.45, 0.95)
    )
    return blue, green, red


def pale(rng: np.random.Generator) -> Colour:
    """An off-white."""
    value, warmth = rng.uniform(0.84, 0.98), rng.uniform(-0.02, 0.06)
    return value - warmth, value - warmth / 3, value


def scaled(colour: Colour, gain: float) -> Colour:
    """The colour under more or less light."""
    blue, green, red = (min(channel * gain, 1) for channel in colour)
    return blue, green, red
