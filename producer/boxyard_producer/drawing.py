"""Pictures with what was found in them drawn on: masks, boxes, labels."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from boxyard_schemas import Detection, ImageSuccess, RleMask

_COLOURS = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#00a5b5",
    "#f032e6", "#9a6324", "#808000", "#000075", "#ffe119", "#bfef45",
)  # fmt: skip
_VEIL = 0.4
"""How much of a mask's colour covers the picture."""


@dataclass(frozen=True)
class _Sheet:
    """A picture under the pen."""

    pen: ImageDraw.ImageDraw
    size: tuple[int, int]
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(picture: bytes, outcome: ImageSuccess) -> Image.Image:
    """The picture upright, RGB, with every instance drawn on it, the best on top.

    Args:
        picture: encoded, as it was submitted.
        outcome: what was found in it.
    """
    canvas = ImageOps.exif_transpose(Image.open(BytesIO(picture))).convert("RGB")
    for found in reversed(outcome.boxes):
        _veil(canvas, found)
    font = ImageFont.load_default(max(12, min(canvas.size) // 28))
    sheet = _Sheet(ImageDraw.Draw(canvas), canvas.size, font)
    for found in reversed(outcome.boxes):
        _outline(sheet, found)
    return canvas


def _veil(canvas: Image.Image, found: Detection) -> None:
    mask = _mask(found, canvas.size)
    if mask is not None:
        canvas.paste(_colour(found), mask=mask.point(lambda value: int(value * _VEIL)))


def _mask(found: Detection, size: tuple[int, int]) -> Image.Image | None:
    """The instance's mask at the picture's size, 0 or 255; none where the model gave none."""
    if found.mask is not None:
        return decode(found.mask)
    if found.polygon is None:
        return None
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    parts = [(_points(segment, size), 255) for segment in found.polygon]
    holes = [(_points(segment, size), 0) for segment in found.holes or ()]
    for points, value in sorted(parts + holes, key=_extent, reverse=True):  # islands after holes
        pen.polygon(points, fill=value)
    return mask


def _extent(part: tuple[list[tuple[float, float]], int]) -> float:
    """Area in pixels of the rectangle around a part."""
    across, down = zip(*part[0], strict=True)
    return float((max(across) - min(across)) * (max(down) - min(down)))


def _points(segment: tuple[float, ...], size: tuple[int, int]) -> list[tuple[float, float]]:
    pairs = zip(segment[::2], segment[1::2], strict=True)
    return [(x * size[0], y * size[1]) for x, y in pairs]


def _outline(sheet: _Sheet, found: Detection) -> None:
    box, (width, height) = found.box, sheet.size
    left, top = box.topX * width, box.topY * height
    line = max(2, min(sheet.size) // 200)
    corners = (left, top, box.bottomX * width, box.bottomY * height)
    sheet.pen.rectangle(corners, outline=_colour(found), width=line)
    _label(sheet, f"{found.label} {found.score:.2f}", (left, top), _colour(found))


def _label(sheet: _Sheet, text: str, corner: tuple[float, float], colour: tuple[int, ...]) -> None:
    """Above the box where there is room, else inside it; never off the picture."""
    x1, y1, x2, y2 = sheet.pen.textbbox((0, 0), text, sheet.font)
    width, height = x2 - x1 + 6, y2 - y1 + 6
    left = max(0, min(corner[0], sheet.size[0] - width))
    top = corner[1] - height if corner[1] >= height else corner[1]
    sheet.pen.rectangle((left, top, left + width, top + height), fill=colour)
    sheet.pen.text((left + 3 - x1, top + 3 - y1), text, _ink(colour), sheet.font)


def _colour(found: Detection) -> tuple[int, ...]:
    return ImageColor.getrgb(_COLOURS[found.label_id % len(_COLOURS)])


def _ink(colour: tuple[int, ...]) -> str:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = colour[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else "white"


def decode(mask: RleMask) -> Image.Image:
    """COCO's compressed run lengths as a picture, 0 or 255."""
    height, width = mask.size
    pixels = bytearray()
    for number, run in enumerate(_runs(mask.counts)):
        pixels += (b"\xff" if number % 2 else b"\x00") * run
    columns = Image.frombytes("L", (height, width), bytes(pixels))
    return columns.transpose(Image.Transpose.TRANSPOSE)


def _runs(counts: str) -> list[int]:
    """Run lengths: five bits a character, low first, from the third on as a difference."""
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in counts):
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
