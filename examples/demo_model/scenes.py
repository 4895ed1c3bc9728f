"""Where the objects stand, and what the camera does to the picture."""

import cv2
import numpy as np

from demo_model.shapes import Array, pale, vivid


def clouds(rng: np.random.Generator, height: int, width: int, cells: int) -> Array:
    """Smooth noise, (height, width), about -1..1, with so many cells across."""
    small = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def texture(rng: np.random.Generator, height: int, width: int) -> Array:
    """A wall or table top: plaster, wood, tiles, cloth or stripes; (height, width, 3) 0..1."""
    colour = np.array(pale(rng) if rng.random() < 0.35 else vivid(rng), np.float32)
    grey = colour.mean()
    colour = grey + (colour - grey) * np.float32(rng.uniform(0, 1) ** 2 * 0.7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 100
    kind = rng.integers(5)
    pattern = rng.uniform(0.02, 0.15) * clouds(rng, height, width, int(rng.integers(2, 40)))
    if kind == 1:
        pattern = pattern + 0.12 * np.sin(y * rng.uniform(20, 60) + pattern * 20)
    elif kind == 2:
        pitch = rng.uniform(0.2, 0.7)
        pattern = pattern - 0.25 * ((x % pitch < 0.03) | (y % pitch < 0.03))
    elif kind == 3:
        pattern = pattern + 0.1 * np.sin(x * 60) * np.sin(y * 60)
    elif kind == 4:
        turn = rng.uniform(0, np.pi)
        along = x * np.cos(turn) + y * np.sin(turn)
        pattern = pattern + rng.uniform(0.05, 0.25) * np.sign(np.sin(along * rng.uniform(5, 25)))
    return np.asarray(colour * (1 + pattern[..., None]), np.float32)


def draw_backdrop(rng: np.random.Generator, height: int, width: int) -> tuple[Array, int]:
    """An empty scene, (height, width, 3) 0..1, and the row where its ground begins."""
    horizon = int(height * rng.uniform(0.15, 0.55))
    scene = texture(rng, height, width)
    scene[horizon:] = texture(rng, height - horizon, width)
    near = np.linspace(rng.uniform(0.7, 1), 1.1, height - horizon, dtype=np.float32)
    scene[horizon:] *= near[:, None, None]
    scene[horizon : horizon + int(rng.integers(0, 5))] *= 0.6
    light = 1 + rng.uniform(0, 0.4) * clouds(rng, height, width, 2)
    return np.clip(scene * light[..., None], 0, 1), horizon


def cast_shadow(scene: Array, foot: tuple[float, float], radius: float, light: float) -> None:
    """Darken the ground under and behind an object, away from the light."""
    height, width = scene.shape[:2]
    reach = int(radius * 2.2) + 2
    left, top = max(int(foot[0]) - reach, 0), max(int(foot[1] - reach * 0.6), 0)
    right, low = min(int(foot[0]) + reach, width), min(int(foot[1] + reach * 0.6), height)
    if right <= left or low <= top:
        return
    y, x = np.ogrid[top:low, left:right]
    along = (x - foot[0] + light * radius * 0.5) / (radius * 1.3)
    across = (y - foot[1] + radius * 0.05) / (radius * 0.45)
    dark = 0.55 * np.exp(-((along**2 + across**2) ** 1.5))
    scene[top:low, left:right] *= (1 - dark[..., None]).astype(np.float32)


def photograph(rng: np.random.Generator, scene: Array) -> Array:
    """Colour cast, exposure, blur and sensor noise; (height, width, 3) 0..1."""
    cast = rng.uniform(0.9, 1.1, 3).astype(np.float32) * np.float32(rng.uniform(0.65, 1.2))
    shot = np.clip(scene * cast, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    if rng.random() < 0.6:
        shot = np.asarray(cv2.GaussianBlur(shot, (0, 0), rng.uniform(0.3, 1.1)), np.float32)
    noise = rng.standard_normal(shot.shape[:2], np.float32)[..., None]
    return np.asarray(shot + np.float32(rng.uniform(0, 0.035)) * noise, np.float32)
