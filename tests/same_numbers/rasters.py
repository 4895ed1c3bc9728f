"""What is left of a mask that went out as rings and was filled again, by form and by rasteriser.

`python -m same_numbers.rasters PAGE` writes the table into the page, between its marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from boxyard_schemas import Parameters
from boxyard_worker.detect.encode import encode
from boxyard_worker.detector.contract import CroppedMask, RawDetections

Mask = NDArray[np.bool_]
Ring = NDArray[np.float64]
"""Points `(n, 2)` in pixels, as a caller has them: a share of the sides times the sides."""

TRUTH = Path(__file__).parents[2] / "examples" / "images" / "truth.json"
SHRUNK = (1, 2, 4, 8)
"""The pictures at their own size, and by these factors smaller."""
FORMS = ("polygon", "outline")
_BEGIN, _END = "<!-- measured -->\n", "<!-- end -->\n"


def read_masks(factor: int = 1) -> Iterator[Mask]:
    """The instances of the demo pictures, perhaps of smaller ones."""
    for annotation in json.loads(TRUTH.read_text())["annotations"]:
        whole = coco.decode(annotation["segmentation"])
        size = (whole.shape[1] // factor, whole.shape[0] // factor)
        yield cv2.resize(whole, size, interpolation=cv2.INTER_AREA) > 0


def hand_out(mask: Mask, form: str) -> list[Ring]:
    """The rings of a mask as they come out of a worker, around its parts and its holes."""
    height, width = mask.shape
    raw = RawDetections(
        np.array([[0, 0, width, height]], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int64),
        (CroppedMask.pack(mask),),
    )
    parameters = Parameters.model_validate({"masks": form})
    found = encode(raw, classes=("",), parameters=parameters, width=width, height=height)
    rings = [ring for one in found for ring in (*(one.polygon or ()), *(one.holes or ()))]
    return [np.array(ring).reshape(-1, 2) * [width, height] for ring in rings]


def fill_by_opencv(rings: Sequence[Ring], shape: tuple[int, int]) -> Mask:
    """`cv2.fillPoly` of all rings at once, points rounded."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(ring).astype(np.int32) for ring in rings], 1)
    return canvas.astype(bool)


def fill_by_pycocotools(rings: Sequence[Ring], shape: tuple[int, int]) -> Mask:
    """`frPyObjects` of each ring, set where an odd number of them are."""
    canvas = np.zeros(shape, np.uint8)
    for ring in rings:
        canvas ^= coco.decode(coco.frPyObjects([ring.ravel().tolist()], *shape))[..., 0]
    return canvas.astype(bool)


def fill_by_pillow(rings: Sequence[Ring], shape: tuple[int, int]) -> Mask:
    """`ImageDraw.polygon` of each ring, set where an odd number of them are."""
    canvas = np.zeros(shape, bool)
    for ring in rings:
        sheet = Image.new("1", shape[::-1])
        ImageDraw.Draw(sheet).polygon([tuple(point) for point in ring.tolist()], fill=1)
        canvas ^= np.asarray(sheet)
    return canvas


RASTERISERS: dict[str, Callable[[Sequence[Ring], tuple[int, int]], Mask]] = {
    "`cv2.fillPoly`": fill_by_opencv,
    "pycocotools": fill_by_pycocotools,
    "Pillow": fill_by_pillow,
}


def measure(form: str, rasteriser: str, factor: int) -> NDArray[np.float64]:
    """Each instance's intersection over union with itself, handed out and filled again."""
    fill, shares = RASTERISERS[rasteriser], []
    for mask in read_masks(factor):
        filled = fill(hand_out(mask, form), mask.shape)
        shares.append((mask & filled).sum() / (mask | filled).sum())
    return np.array(shares)


def _table() -> Iterator[str]:
    yield (
        "| smaller by | area, median | "
        + " | ".join(f"`{form}`, {name}" for form in FORMS for name in RASTERISERS)
        + " |"
    )
    yield "|---|---|" + "---|" * (len(FORMS) * len(RASTERISERS))
    for factor in SHRUNK:
        area = np.median([mask.sum() for mask in read_masks(factor)])
        cells = [measure(form, name, factor) for form in FORMS for name in RASTERISERS]
        figures = " | ".join(f"{np.median(each):.3f} ({each.min():.3f})" for each in cells)
        yield f"| {factor} | {area:.0f} | {figures} |"


def main(page: Path) -> None:
    """Writes the table into the page."""
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(before + _BEGIN + "\n".join(_table()) + "\n" + _END + after)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
