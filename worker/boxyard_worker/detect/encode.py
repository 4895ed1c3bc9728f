"""What the model found → the words of the contract."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from boxyard_schemas import Box, Detection, Parameters, PixelBox, RleMask
from boxyard_worker.detect.rings import Ring, Rings, trace_centres, trace_edges
from boxyard_worker.detector.contract import CroppedMask, RawDetections

Polygon = tuple[tuple[float, ...], ...]

_TRACES = {"polygon": trace_centres, "outline": trace_edges}


def encode(
    raw: RawDetections, *, classes: tuple[str, ...], parameters: Parameters, width: int, height: int
) -> tuple[Detection, ...]:
    """Encodes one picture's instances, best score first.

    Instances whose numbers are not finite are dropped, and with polygons or outlines those whose
    mask leaves none.

    Args:
        raw: boxes and masks in pixels of the original picture.
        classes: label names by id, where no text said what to look for.
        parameters: the request's.
        width: of the original picture, pixels.
        height: of the original picture, pixels.
    """
    corners = np.clip(raw.boxes / np.array([width, height, width, height], np.float64), 0, 1)
    finite = np.isfinite(raw.boxes).all(1) & np.isfinite(raw.scores)
    found = []
    for index in np.flatnonzero(finite).tolist():
        mask = raw.masks[index] if raw.masks is not None else None
        polygon, holes = _polygon(mask, parameters, width, height)
        if polygon == ():
            continue
        label = int(raw.labels[index])
        x1, y1, x2, y2 = corners[index].tolist()
        found.append(
            Detection(
                box=Box(topX=x1, topY=y1, bottomX=x2, bottomY=y2),
                label=raw.names[index] if raw.names is not None else classes[label],
                label_id=label,
                score=min(max(float(raw.scores[index]), 0.0), 1.0),
                polygon=polygon,
                holes=holes or None,
                mask=_rle(mask, width, height) if parameters.masks == "rle" else None,
                pixel_box=_pixel_box(raw.boxes[index]) if parameters.pixel_boxes else None,
            )
        )
    return tuple(found)


def _pixel_box(corners: NDArray[np.float32]) -> PixelBox:
    x1, y1, x2, y2 = corners.tolist()
    return PixelBox(x1=x1, y1=y1, x2=x2, y2=y2)


def _polygon(
    mask: CroppedMask | None, parameters: Parameters, width: int, height: int
) -> tuple[Polygon | None, Polygon | None]:
    """Rings around the mask and around its holes as normalised x1, y1, x2, y2, …"""
    trace = _TRACES.get(parameters.masks)
    if mask is None or trace is None:
        return None, None
    outer, holes = trace(mask.unpack()) if mask.width else Rings((), ())
    corner, size = np.array([mask.x, mask.y]), np.array([width, height], np.float64)

    def normalise(rings: tuple[Ring, ...]) -> Polygon:
        return tuple(tuple(((ring + corner) / size).ravel().tolist()) for ring in rings)

    return normalise(outer), normalise(holes)


def _rle(mask: CroppedMask | None, width: int, height: int) -> RleMask | None:
    """COCO's encoding of the full-size mask, from the runs of the cropped one."""
    if mask is None:
        return None
    counts = {"size": [height, width], "counts": _counts(mask, width, height).tolist()}
    compressed = coco.frPyObjects(counts, height, width)
    return RleMask(size=(height, width), counts=compressed["counts"].decode("ascii"))


def _counts(mask: CroppedMask, width: int, height: int) -> NDArray[np.int64]:
    """Lengths of the runs of 0, 1, 0, … down the columns of the full-size mask."""
    columns = np.zeros((mask.width, mask.height + 2), np.int8)
    columns[:, 1:-1] = mask.unpack().T
    edges = np.diff(columns, axis=1)
    starts, ends = (_positions(edges == sign, mask, height) for sign in (1, -1))
    parted = starts[1:] != ends[:-1]  # a run may go on at the top of the next column
    starts = starts[np.concatenate([[True], parted])] if starts.size else starts
    ends = ends[np.concatenate([parted, [True]])] if ends.size else ends
    bounds = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(bounds, prepend=0, append=width * height)
    return counts[:-1] if counts.size > 1 and counts[-1] == 0 else counts


def _positions(edges: NDArray[np.bool_], mask: CroppedMask, height: int) -> NDArray[np.int64]:
    """Column-major positions in the full-size mask."""
    column, row = np.nonzero(edges)
    return (column.astype(np.int64) + mask.x) * height + row + mask.y
