"""The four things the demo model finds, each drawn anew from a random generator."""

from collections.abc import Callable

import numpy as np

from demo_model.folded import draw_carton
from demo_model.shapes import Sprite
from demo_model.turned import draw_can, draw_milk_bottle, draw_water_bottle

Draw = Callable[[np.random.Generator, int, float], Sprite]
"""(generator, height in pixels, light -1..1) → sprite."""

DRAWERS: dict[str, Draw] = {
    "carton": draw_carton,
    "milk_bottle": draw_milk_bottle,
    "can": draw_can,
    "water_bottle": draw_water_bottle,
}
"""Class name → its draughtsman, in the order of the model's labels."""
