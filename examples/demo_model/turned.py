"""What comes off the lathe: the can and the two bottles."""

import numpy as np

from demo_model.shapes import Array, Colour, Lathe, Sprite, pale, turn, vivid


def paint(body: Lathe, base: Colour) -> Array:
    """A fresh coat of one colour, (height, width, 3)."""
    return np.broadcast_to(np.array(base, np.float32), (*body.outline.shape, 3)).copy()


def finish(body: Lathe, coat: Array, opacity: Array | None = None) -> Sprite:
    """The sprite of a painted body."""
    cover = body.outline.astype(np.float32)
    return Sprite(np.clip(coat, 0, 1), cover if opacity is None else opacity * cover, cover)


def decorate(rng: np.random.Generator, body: Lathe, coat: Array, top: float, low: float) -> None:
    """Print bands, an emblem and lines of mock text onto a turned body."""
    middle, span = (top + low) / 2, low - top
    if rng.random() < 0.6:
        start = rng.uniform(top, middle)
        wave = rng.uniform(0, 0.08) * np.sin(body.across * 3 + rng.uniform(0, 6))
        shifted = body.down - wave.astype(np.float32)
        coat[(shifted > start) & (shifted < start + rng.uniform(0.1, 0.5) * span)] = vivid(rng)
    if rng.random() < 0.7:
        at = rng.uniform(-0.5, 0.5)
        size = rng.uniform(0.25, 0.55), rng.uniform(0.12, 0.3) * span
        coat[body.patch(at, middle, *size)] = pale(rng) if rng.random() < 0.6 else vivid(rng)
    for line in range(rng.integers(0, 4)):
        at = low - span * (0.06 + 0.07 * line)
        coat[body.band(at, at + 0.025 * span) & (np.abs(body.across) < 0.6)] = pale(rng)


def draw_can(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A metal drinks can: printed cylinder, necked silver rims, bright lid."""
    r = rng.uniform(0.25, 0.34)
    profile = [(0, 0.84), (0.02, 0.88), (0.1, 1), (0.92, 1), (0.975, 0.88), (1, 0.84)]
    body = turn([(at, r * width) for at, width in profile], height, rng.uniform(0.1, 0.32))
    silver = rng.uniform(0.7, 0.85)
    metal = 0.72 + 0.18 * np.cos(body.across * 7 + light) + 0.1 * np.cos(body.across * 17)
    coat = paint(body, vivid(rng) if rng.random() < 0.85 else (silver, silver, silver))
    decorate(rng, body, coat, 0.12, 0.9)
    coat[body.band(0, 0.055) | body.band(0.955, 1)] = silver
    coat *= (body.tone(light, 0.4) * (0.62 + 0.38 * metal))[..., None]
    coat += 0.55 * body.gloss(light * 0.6, 0.09)[..., None]
    lid = body.lid
    coat[lid] = (silver * (0.75 + 0.25 * np.cos(body.across * 4 - light)))[lid, None]
    rim = lid & (np.abs(body.across) < 0.3)
    coat[rim] *= rng.uniform(0.6, 0.85)
    return finish(body, coat)


def draw_milk_bottle(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """An opaque white bottle: broad body, short neck, coloured cap, often with a handle."""
    r, neck = rng.uniform(0.2, 0.28), rng.uniform(0.085, 0.115)
    cap, shoulder = rng.uniform(0.07, 0.1), rng.uniform(0.3, 0.42)
    profile = [(0, neck * 1.1), (cap, neck * 1.15), (cap + 0.005, neck), (cap + 0.06, neck)]
    profile += [(shoulder, r), (0.96, r), (1, r * 0.92)]
    body = turn(profile, height, rng.uniform(0.04, 0.22))
    coat = paint(body, pale(rng))
    if rng.random() < 0.6:
        label = body.band(rng.uniform(0.45, 0.6), rng.uniform(0.72, 0.9))
        label &= np.abs(body.across) < rng.uniform(0.6, 1.1)
        coat[label] = vivid(rng)
        if rng.random() < 0.7:
            coat[body.patch(rng.uniform(-0.3, 0.3), 0.66, 0.35, 0.05)] = pale(rng)
    coat *= body.tone(light, rng.uniform(0.5, 0.65))[..., None]
    coat += rng.uniform(0.05, 0.2) * body.gloss(light * 0.5, 0.15)[..., None]
    lid = body.lid | (body.down < cap)
    ridges = 0.85 + 0.15 * np.cos(body.across * 40)
    coat[lid] = (np.array(vivid(rng), np.float32) * (body.tone(light, 0.5) * ridges)[..., None])[
        lid
    ]
    sprite = finish(body, coat)
    return add_handle(rng, body, sprite, shoulder) if rng.random() < 0.5 else sprite


def add_handle(rng: np.random.Generator, body: Lathe, sprite: Sprite, shoulder: float) -> Sprite:
    """Cut a grip through one shoulder of a jug."""
    side = rng.choice([-1, 1]) * rng.uniform(0.5, 0.62)
    size = rng.uniform(0.14, 0.2), rng.uniform(0.08, 0.12)
    edge = body.patch(side, shoulder + 0.04, size[0] + 0.08, size[1] + 0.02)
    hole = body.patch(side, shoulder + 0.04, *size)
    colour, opacity, cover = sprite.colour.copy(), sprite.opacity.copy(), sprite.cover.copy()
    colour[edge] *= 0.8
    opacity[hole] = 0
    cover[hole] = 0
    return Sprite(colour, opacity, cover)


def draw_water_bottle(rng: np.random.Generator, height: int, light: float) -> Sprite:
    """A slim clear bottle: bluish, ribbed, small cap, paper sleeve, bright streaks."""
    r, neck = rng.uniform(0.125, 0.17), rng.uniform(0.05, 0.065)
    cap, shoulder = rng.uniform(0.05, 0.075), rng.uniform(0.22, 0.32)
    profile = [(0, neck * 1.1), (cap, neck * 1.15), (cap + 0.01, neck), (cap + 0.03, neck)]
    profile += [(shoulder, r), (0.6, r * rng.uniform(0.86, 1)), (0.72, r), (0.97, r), (1, r * 0.85)]
    body = turn(profile, height, rng.uniform(0.03, 0.2), ripple=rng.uniform(0, 0.006))
    tint = rng.uniform(0.85, 1), rng.uniform(0.65, 0.88), rng.uniform(0.4, 0.72)
    coat = paint(body, tint)
    filled = body.band(rng.uniform(0.15, 0.6), 1)
    coat[filled] *= rng.uniform(0.75, 0.95)
    opacity = np.asarray(rng.uniform(0.25, 0.45) + 0.5 * np.abs(body.across) ** 3, np.float32)
    coat *= (1 - 0.45 * np.abs(body.across) ** 4)[..., None]
    coat *= (1 + 0.12 * np.sin(body.down * rng.uniform(60, 110)))[..., None]
    if rng.random() < 0.8:
        opacity = sleeve(rng, body, coat, opacity, light)
    streaks = body.gloss(light * 0.6 - 0.15, 0.08) + 0.6 * body.gloss(-0.7 * light, 0.06)
    coat += 0.7 * streaks[..., None]
    opacity = np.clip(opacity + 0.6 * streaks, 0, 1)
    lid = body.lid | (body.down < cap)
    top = pale(rng) if rng.random() < 0.4 else vivid(rng, 0.58)
    coat[lid] = (np.array(top, np.float32) * body.tone(light, 0.5)[..., None])[lid]
    opacity[lid] = 1
    return finish(body, coat, opacity.astype(np.float32))


def sleeve(
    rng: np.random.Generator, body: Lathe, coat: Array, opacity: Array, light: float
) -> Array:
    """Wrap a printed sleeve around the body and return the new opacity."""
    top = rng.uniform(0.36, 0.5)
    low = top + rng.uniform(0.12, 0.28)
    band = body.band(top, low)
    print_ = paint(body, vivid(rng, 0.58) if rng.random() < 0.6 else pale(rng))
    decorate(rng, body, print_, top, low)
    coat[band] = (print_ * body.tone(light, 0.5)[..., None])[band]
    return np.where(band, np.float32(0.95), opacity)
