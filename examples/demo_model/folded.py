"""The carton, folded from flat faces."""

import numpy as np

from demo_model.shapes import Array, Colour, Sprite, fill, pale, scaled, vivid, within

Quad = list[tuple[float, float]]
"""A face's corners: upper left, upper right, lower right, lower left."""


def draw_carton(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A folded box, gabled like a milk carton or flat, with a face and a side in view."""
    wide, deep = height * rng.uniform(0.3, 0.5), height * rng.uniform(0.1, 0.26)
    rise = deep * rng.uniform(0.1, 0.45)
    roof = height * (rng.uniform(0.14, 0.22) if rng.random() < 0.65 else 0)
    eave = roof + (height * rng.uniform(0.03, 0.07) if roof else rise)
    canvas = np.zeros((height + 2, int(wide + deep) + 2, 4), np.float32)
    front = [(0.0, eave), (wide, eave), (wide, float(height)), (0.0, float(height))]
    back = wide + deep
    side = [(wide, eave), (back, eave - rise), (back, height - rise), (wide, float(height))]
    base = pale(rng) if rng.random() < 0.45 else vivid(rng)
    base = (0.42, 0.6, 0.75) if rng.random() < 0.2 else base
    gains = (1.0, rng.uniform(0.62, 0.85)) if light < 0 else (rng.uniform(0.7, 0.85), 1.0)
    fill(canvas, front, scaled(base, gains[0]))
    fill(canvas, side, scaled(base, gains[1]))
    print_faces(rng, canvas, front, side, gains)
    (fold_gable if roof else fold_lid)(rng, canvas, front, side, scaled(base, 1.08))
    shade = np.linspace(1.05, rng.uniform(0.75, 0.95), len(canvas), dtype=np.float32)
    colour = np.clip(canvas[..., :3] * shade[:, None, None], 0, 1)
    cover = (canvas[..., 3] > 0.5).astype(np.float32)
    flip = 1 if rng.random() < 0.5 else -1
    return Sprite(colour[:, ::flip], cover[:, ::flip], cover[:, ::flip])


def print_faces(
    rng: np.random.Generator, canvas: Array, front: Quad, side: Quad, gains: tuple[float, float]
) -> None:
    """Print a band round both faces, then a panel and lines of mock text on each."""
    top = rng.uniform(0.05, 0.7)
    low = min(top + rng.uniform(0.1, 0.5), 1)
    band, panel, ink = vivid(rng), pale(rng), scaled(vivid(rng), 0.5)
    banded, panelled, lines = rng.random() < 0.75, rng.random() < 0.7, rng.integers(0, 5)
    left, at = rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.5)
    for face, gain in zip((front, side), gains, strict=True):
        if banded:
            fill(canvas, within(face, 0, top, 1, low), scaled(band, gain))
        if panelled:
            fill(canvas, within(face, left, at, 1 - left, at + 0.25), scaled(panel, gain))
        for line in range(lines):
            y = 0.9 - 0.06 * line
            fill(canvas, within(face, 0.15, y, 0.8, y + 0.025), scaled(ink, gain))


def fold_gable(
    rng: np.random.Generator, canvas: Array, front: Quad, side: Quad, colour: Colour
) -> None:
    """Close the carton with a sloping roof, its fin and perhaps a screw cap."""
    (left, eave), (right, _), back = front[0], front[1], side[1]
    fin = rng.uniform(0.2, 0.35) * eave
    half = (back[0] - right) / 2
    ridge = [(left + half, fin), (right + half, fin)]
    fill(canvas, [(right, eave), back, ridge[1]], scaled(colour, 0.6))
    fill(canvas, [ridge[0], ridge[1], (right, eave), (left, eave)], scaled(colour, 0.9))
    fill(canvas, [(ridge[0][0], 0), (ridge[1][0], 0), ridge[1], ridge[0]], colour)
    if rng.random() < 0.5:
        roof = [ridge[0], ridge[1], (right, eave), (left, eave)]
        fill(canvas, within(roof, 0.36, 0.25, 0.64, 0.75), vivid(rng))


def fold_lid(
    rng: np.random.Generator, canvas: Array, front: Quad, side: Quad, colour: Colour
) -> None:
    """Close the carton with a flat top and a strip of tape."""
    deep = side[1][0] - side[0][0]
    top = [(front[0][0] + deep, side[1][1]), side[1], front[1], front[0]]
    fill(canvas, top, colour)
    if rng.random() < 0.6:
        fill(canvas, within(top, 0, 0.4, 1, 0.6), scaled(colour, rng.uniform(0.7, 0.9)))
