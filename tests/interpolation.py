"""The slow form of a sample between the pixels of a feature map, as regions are pooled with it."""

import math
from itertools import product

from torch import Tensor


def interpolate(plane: Tensor, y: float, x: float) -> float:
    """Sample between pixels; zero more than a pixel outside, the edge's value nearer."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    return sum(
        float(plane[min(row, height - 1), min(column, width - 1)])
        * (1 - abs(y - row))
        * (1 - abs(x - column))
        for row, column in product((top, top + 1), (left, left + 1))
    )
