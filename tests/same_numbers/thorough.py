"""Every model of the list beside mmdet's inferencer, and what came out as a page.

`python -m same_numbers.thorough ROWS [--page PAGE] [NAME…]`: the file of results, one JSON a line;
the page, from all of them; these models instead of all. Ends with status 1 when one differs by
more than the bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .comparison import Difference
from .entry import LARGE, ODD, TOGETHER, Size

CARDS = (
    "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco",
    "deformable-detr-refine-twostage_r50_16xb2-50e_coco",
    "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco",
)
_SMALL_MASKS = {"most": 8}
"""mmdet makes all masks of a picture at once: a hundred of 12 million pixels are 4.8 GB."""
_ALL_MASKS = {"large": (1024, 768)}
"""Of these, mmdet makes all masks whatever the limit."""

ENTRIES: dict[str, dict[str, Any]] = {
    **{card: {} for card in CARDS},
    **{
        f"rtmdet-ins_{size}_8xb{16 if size == 'x' else 32}-300e_coco": _SMALL_MASKS
        for size in ("tiny", "s", "m", "l", "x")
    },
    **{f"rtmdet_{size}_8xb32-300e_coco": {} for size in ("tiny", "s", "m", "l", "x")},
    "mask-rcnn_r50_fpn_1x_coco": _SMALL_MASKS,
    "cascade-mask-rcnn_r50_fpn_1x_coco": _SMALL_MASKS,
    "ms-rcnn_r50-caffe_fpn_1x_coco": _SMALL_MASKS,
    "queryinst_r50_fpn_1x_coco": _ALL_MASKS,
    "mask2former_r50_8xb2-lsj-50e_coco": _ALL_MASKS,
    "solo_r50_fpn_1x_coco": _SMALL_MASKS,
    "solov2-light_r18_fpn_ms-3x_coco": _SMALL_MASKS,
    "condinst_r50_fpn_ms-poly-90k_coco_instance": _SMALL_MASKS,
    "yolact_r50_1x8_coco": _SMALL_MASKS,
    "yolox_tiny_8x8_300e_coco": {},
    "yolox_s_8x8_300e_coco": {},
    "dino-4scale_r50_8xb2-12e_coco": {},
    "ssd300_coco": {},
    "ssd512_coco": {},
    "centernet_r18_8xb16-crop512-140e_coco": {},
}

_ALONE = {"score": 1e-4, "box": 1e-4, "pixels": 0.0}
_TOGETHER = {"score": 1e-4, "box": 1e-4, "pixels": 1e-4}
_LIBRARIES = ("mmdet", "mmcv-lite", "mmengine", "torch", "torchvision", "opencv-python-headless")

Row = dict[str, Any]

_INTRODUCTION = """\
# The same numbers as mmdet

Written by `make same-numbers`; a run writes this page anew. How masks are handed out, and what each form
is exact for, stands in [masks.md](masks.md).

Each row is a model of mmdet's index with seeded random weights, scattered so that it finds something,
and without a score threshold. The same PNG files go two ways that share nothing but the weights: through
mmdet's own `DetInferencer`, file in and prediction out; and through a worker's parts: the decoder's
process with the model's resize plan, shared memory, and the model's process. The pictures: {odd} and a
large one ({large}; {small} where mmdet makes a hundred masks whatever the limit) one by one, then two
each of {groups}, submitted together; two go on the device at once.

Compared are labels, scores, corners and masks; where a picture is alone, in mmdet's order. A difference
is the largest over all pictures: of scores; of corners, as a share of the picture's sides; of masks, as
a share of their pixels. "Alone" must be within 1e-4, masks to the pixel; "with mates" within 1e-4.
`found (masks)` is how many instances the picture with most has, and how many masks that are not empty.
"""  # noqa: E501
_HEAD = """\
| model | found (masks) | alone: score | corner | mask | with mates: score | corner | mask | s |
|---|---|---|---|---|---|---|---|---|"""


def main(results: Path, page: Path | None, names: Sequence[str]) -> int:
    """Compares, and writes the page."""
    rows = _read(results) if names else {}
    for name in names or ENTRIES:
        rows[name] = _compare(name)
        print(_line(rows[name]), flush=True)
        results.parent.mkdir(exist_ok=True)
        results.write_text("".join(f"{json.dumps(row)}\n" for row in rows.values()))
        if page:
            page.write_text("\n".join(_page([rows[each] for each in ENTRIES if each in rows])))
    return int(not all(_passes(rows[name]) for name in names or ENTRIES))


def _read(results: Path) -> dict[str, Row]:
    lines = results.read_text().splitlines() if results.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def _compare(name: str) -> Row:
    """One entry's row, from a process whose memory ends with it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "same_numbers.entry", name, folder]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, json.dumps(ENTRIES.get(name, {}))],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return {"name": name, "error": done.stderr.strip().rpartition("\n")[2]}
    row: Row = json.loads(done.stdout.strip().rpartition("\n")[2])
    return row


def _passes(row: Row) -> bool:
    if "error" in row:
        return False
    alone, together = Difference(**row["alone"]), Difference(**row["together"])
    same = alone.within(**_ALONE) and together.within(**_TOGETHER)
    # What mmdet cannot do, Boxyard may refuse, but never lose its process over.
    fair = all(said and not done.startswith("crashed") for _, said, done in row["failures"])
    return same and fair and alone.instances > 0 and together.instances > 0


def _page(rows: Sequence[Row]) -> Iterator[str]:
    libraries = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    yield _INTRODUCTION.format(
        odd=_say(ODD), large=_say([LARGE]), small=_say([_ALL_MASKS["large"]]), groups=_say(TOGETHER)
    )
    yield f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {libraries}, CPU.\n"
    yield _HEAD
    yield from map(_line, rows)
    if missing := sorted(ENTRIES.keys() - {row["name"] for row in rows}):
        yield f"\nNot compared by this run: {', '.join(missing)}."
    yield "\n## Pictures that one side cannot do\n"
    yield "| model | picture | mmdet | Boxyard |\n|---|---|---|---|"
    for row in rows:
        for (width, height), theirs, ours in row.get("failures", ()):
            yield f"| {row['name']} | {width}x{height} | {_cut(theirs)} | {_cut(ours)} |"
    yield ""


def _say(sizes: Iterable[Size]) -> str:
    return ", ".join(f"{width}x{height}" for width, height in sizes)


def _line(row: Row) -> str:
    if "error" in row:
        return f"| {row['name']} | **{_cut(row['error'])}** | | | | | | | |"
    cells = [f"{row['alone']['instances']} ({row['alone']['masks']})"]
    for part in (row["alone"], row["together"]):
        strange = f" **{part['strangers']} without a partner**" if part["strangers"] else ""
        cells += [f"{part['score']:.1g}{strange}", f"{part['box']:.1g}", f"{part['pixels']:.1g}"]
    return f"| {row['name']} | {' | '.join(cells)} | {row['seconds']:.0f} |"


def _cut(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:160] or "answers"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("results", type=Path)
    arguments.add_argument("--page", type=Path)
    arguments.add_argument("names", nargs="*")
    chosen = arguments.parse_intermixed_args()
    raise SystemExit(main(chosen.results, chosen.page, chosen.names))
