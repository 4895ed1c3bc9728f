"""Things the model must not report: balls, mugs, bowls, cones, books and sticks."""

import numpy as np

from demo_model.objects import Draw
from demo_model.shapes import Sprite, fill, pale, scaled, turn, vivid, within
from demo_model.turned import finish, paint


def draw_ball(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A ball or a piece of fruit."""
    at = (1 - np.cos(np.linspace(0, np.pi, 24))) / 2
    size = rng.uniform(0.9, 1.15)
    knots = [(float(y), float(size * np.sqrt(y * (1 - y))) + 0.005) for y in at]
    body = turn(knots, max(height // 2, 12), 0)
    coat = paint(body, vivid(rng))
    coat *= (body.tone(light, 0.4) * (1.1 - 0.6 * body.down))[..., None]
    coat += (
        0.5 * (body.gloss(light * 0.4, 0.2) * np.exp(-(((body.down - 0.25) / 0.1) ** 2)))[..., None]
    )
    return finish(body, coat)


def draw_mug(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A mug: short, open and dark inside."""
    r, foot = rng.uniform(0.42, 0.55), rng.uniform(0.75, 1)
    body = turn([(0, r), (1, r * foot)], max(int(height * 0.5), 12), rng.uniform(0.15, 0.35))
    coat = paint(body, vivid(rng) if rng.random() < 0.6 else pale(rng))
    coat *= body.tone(light, 0.45)[..., None]
    coat[body.lid] *= 0.35
    return finish(body, coat)


def draw_bowl(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A wide bowl."""
    r = rng.uniform(0.8, 1.3)
    knots = [(0, r), (0.3, r * 0.92), (0.7, r * 0.65), (1, r * 0.35)]
    body = turn(knots, max(int(height * 0.3), 10), rng.uniform(0.15, 0.3))
    coat = paint(body, vivid(rng) if rng.random() < 0.7 else pale(rng))
    coat *= body.tone(light, 0.5)[..., None]
    coat[body.lid] *= 0.7
    return finish(body, coat)


def draw_cone(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A cone or a lampshade."""
    r, tip = rng.uniform(0.3, 0.5), rng.uniform(0.02, 0.2)
    body = turn([(0, tip), (1, r)], max(int(height * 0.6), 12), rng.uniform(0.05, 0.2))
    coat = paint(body, vivid(rng))
    coat *= body.tone(light, 0.4)[..., None]
    return finish(body, coat)


def draw_book(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A book or a picture seen straight on: one flat face, no side."""
    wide = height * rng.uniform(0.5, 1.2)
    tall = height * rng.uniform(0.4, 0.8)
    canvas = np.zeros((int(tall) + 2, int(wide) + 2, 4), np.float32)
    face = [(0.0, 0.0), (wide, 0.0), (wide, tall), (0.0, tall)]
    colour = vivid(rng)
    fill(canvas, face, colour)
    for _ in range(rng.integers(1, 5)):
        left, top = rng.uniform(0, 0.7, 2)
        size = rng.uniform(0.05, 0.4, 2)
        fill(canvas, within(face, left, top, left + size[0], top + size[1]), vivid(rng))
    fill(canvas, within(face, 0, 0, 0.06, 1), scaled(colour, 0.6))
    cover = canvas[..., 3].round()
    return Sprite(canvas[..., :3] * (0.8 - 0.15 * light), cover, cover)


def draw_stick(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A pen, candle or broom handle."""
    body = turn([(0, 0.015), (0.05, 0.03), (1, 0.03)], height, 0.1)
    coat = paint(body, vivid(rng) if rng.random() < 0.7 else pale(rng))
    coat *= body.tone(light, 0.4)[..., None]
    return finish(body, coat)


CLUTTER: tuple[Draw, ...] = (draw_ball, draw_mug, draw_bowl, draw_cone, draw_book, draw_stick)
