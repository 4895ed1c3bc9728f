"""The training set: rendered once, kept compressed in two files, read picture by picture."""

import argparse
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demo_model.render import render

TRAINING_SEEDS = range(1_000_000, 1_010_000)
FOLDER = Path(__file__).parents[2] / ".cache" / "demo_model"

Encoded = tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[int, ...]]


class Cache:
    """Rendered pictures in memory, as JPEG (image) and PNG (owners)."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            self._bytes, self._ends = stored["bytes"], stored["ends"]
            self._labels = stored["labels"]

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._labels)

    def read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        """The image (height, width, 3), its owners (height, width) and the objects' labels."""
        start, middle, end = self._ends[2 * index : 2 * index + 3]
        image = cv2.imdecode(self._bytes[start:middle], cv2.IMREAD_COLOR)
        owners = cv2.imdecode(self._bytes[middle:end], cv2.IMREAD_GRAYSCALE)
        labels = self._labels[index]
        return np.asarray(image, np.uint8), np.asarray(owners, np.uint8), labels[labels >= 0]


def encode(seed: int) -> Encoded:
    """Render a seed and compress it."""
    picture = render(seed)
    jpeg = cv2.imencode(".jpg", picture.image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    png = cv2.imencode(".png", picture.owners)[1]
    return np.asarray(jpeg, np.uint8), np.asarray(png, np.uint8), picture.labels


def build(path: Path, seeds: range) -> None:
    """Render the seeds on all cores and write them to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fork of a process with threads can hang on a lock that one of them held.
    context = multiprocessing.get_context("spawn")
    with context.Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        encoded = pool.map(encode, seeds, chunksize=50)
    parts = [part for jpeg, png, _ in encoded for part in (jpeg, png)]
    labels = np.full((len(encoded), 8), -1, np.int64)
    for row, (_, _, names) in zip(labels, encoded, strict=True):
        row[: len(names)] = names
    ends = np.cumsum([0, *(len(part) for part in parts)])
    np.savez(path, bytes=np.concatenate(parts), ends=ends, labels=labels)


def open_cache(seeds: range = TRAINING_SEEDS, folder: Path = FOLDER) -> Cache:
    """The rendered set of these seeds, made on first use (minutes)."""
    path = folder / f"pictures-{seeds.start}-{seeds.stop}.npz"
    if not path.exists():
        build(path, seeds)
    return Cache(path)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(len(open_cache()), "pictures")
