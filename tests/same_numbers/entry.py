"""One model of the index: what mmdet's inferencer and a worker's parts answer, side by side.

`python -m same_numbers.entry NAME FOLDER` prints the row as JSON; it runs in a process of its own,
so that its memory ends with it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boxyard_worker.detector.contract import RawDetections

from .comparison import Difference, compare
from .models import start_inferencer, write_config, write_weights
from .path import WorkerPath
from .pictures import paint_file

Size = tuple[int, int]

ODD: tuple[Size, ...] = ((1, 1), (8, 2000), (641, 479))
LARGE: Size = (4000, 3000)
TOGETHER: tuple[Size, ...] = ((640, 480), (480, 640))
"""Two pictures of each size, one of them upside down: two groups that must not mix."""


@dataclass
class Row:
    """What was found for one entry.

    Attributes:
        name: of mmdet's index.
        alone: over the pictures that went through one by one.
        together: over the pictures that went through with mates of their group.
        failures: pictures that one side cannot do: size, what mmdet says of it and what Boxyard
            says, "" for an answer.
        seconds: spent.
    """

    name: str
    alone: Difference = field(default_factory=Difference)
    together: Difference = field(default_factory=Difference)
    failures: list[tuple[Size, str, str]] = field(default_factory=list)
    seconds: float = 0.0


class Entry:
    """Both sides of one model, on the same weights."""

    def __init__(self, name: str, folder: Path, side: int | None, most: int | None) -> None:
        self._row = Row(name)
        self._folder = folder
        config = write_config(name, folder, side, most)
        weights = write_weights(config, folder)
        self._theirs = start_inferencer(config, weights)
        self._ours = WorkerPath(name, config, weights)

    def compare(self, large: Size) -> Row:
        """Takes all pictures through both sides."""
        begin = time.perf_counter()
        for size in (*ODD, large):
            picture = paint_file(*size)
            (ours,) = self._ours.detect(picture)
            self._row.alone |= self._judge(size, ours, self._expect(picture), ordered=True)
        sizes = [size for size in TOGETHER for _ in range(2)]
        pictures = [paint_file(*size, upside_down=bool(i % 2)) for i, size in enumerate(sizes)]
        found = self._ours.detect(*pictures)
        for size, picture, ours in zip(sizes, pictures, found, strict=True):
            self._row.together |= self._judge(size, ours, self._expect(picture), ordered=False)
        self._ours.close()
        self._row.seconds = time.perf_counter() - begin
        return self._row

    def _expect(self, picture: bytes) -> dict[str, Any] | str:
        path = self._folder / "picture.png"
        path.write_bytes(picture)
        try:
            found: dict[str, Any] = self._theirs(str(path))["predictions"][0]
        except Exception as error:  # whatever mmdet fails with is told
            return f"{type(error).__name__}: {error}"
        return found

    def _judge(
        self, size: Size, ours: RawDetections | str, theirs: dict[str, Any] | str, *, ordered: bool
    ) -> Difference:
        if isinstance(ours, str) or isinstance(theirs, str):
            said = theirs if isinstance(theirs, str) else ""
            done = ours if isinstance(ours, str) else ""
            self._row.failures.append((size, said, done))
            return Difference()
        return compare(ours, theirs, *size, ordered=ordered)


def main(name: str, folder: Path, options: dict[str, Any]) -> None:
    """Prints one entry's row."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    np.seterr(all="ignore")
    entry = Entry(name, folder, options.get("side"), options.get("most"))
    row = entry.compare(tuple(options.get("large", LARGE)))
    print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
