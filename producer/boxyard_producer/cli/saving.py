"""Results on disk: the JSON as the API gave it, and images with the detections drawn."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import ModuleType

from boxyard_schemas import ImageSuccess, JobResult
from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

from ..client.files import shorten
from .terminal import note, warn

_LONGEST = 200
"""Bytes of a file's stem."""
"""Characters of a drawn image's name, of the 255 that file systems allow."""


class Saver:
    """Writes `{job}.json` for each job, and each local image with what was found in it.

    No file is overwritten: neither an image of the same base name in another folder, nor what was
    there before.

    Args:
        directory: made when it is not there.
        names: of all images of the run, so that equal base names can be told apart.

    Raises:
        SetupError: Pillow is not installed.
    """

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        self._drawing = _import_drawing()
        self._directory = directory
        self._alike = Counter(Path(name).stem for name in set(names))
        self._jobs = self._drawn = 0
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, result: JobResult, names: Sequence[str]) -> None:
        """Write one job's files.

        Args:
            result: what was found.
            names: what was submitted, in order; URLs are not fetched again.
        """
        path = self._directory / f"{result.job}.json"
        path.write_text(result.model_dump_json(indent=1) + "\n")
        self._jobs += 1
        for name, outcome in zip(names, result.images, strict=True):
            if isinstance(outcome, ImageSuccess):
                self._draw(name, outcome)

    def summarise(self) -> None:
        """Print what was written."""
        note(f"{self._directory}: {self._jobs} JSON files, {self._drawn} drawn images")

    def _draw(self, name: str, outcome: ImageSuccess) -> None:
        if not os.path.isfile(name):
            warn(f"{shorten(name)}: not drawn, because it is not on this machine")
            return
        try:
            drawn = self._drawing.draw(Path(name).read_bytes(), outcome)
            drawn.save(self._free_path(Path(name)), quality=92)
        except Exception as error:  # Pillow's decoders raise anything
            warn(f"{shorten(name)}: not drawn ({type(error).__name__}: {error})")
            return
        self._drawn += 1

    def _free_path(self, source: Path) -> Path:
        """`1.jpg`; `a-1.jpg` where another folder has one too; with a number where it is taken."""
        folders = [part for part in source.parent.parts if part not in ("/", "..")]
        alone = self._alike[source.stem] == 1
        stem = source.stem if alone else "-".join([*folders, source.stem])
        stem = os.fsencode(stem)[-_LONGEST:].decode("utf-8", "ignore")
        names = (f"{stem}-{number}.jpg" if number > 1 else f"{stem}.jpg" for number in count(1))
        return next(path for name in names if not (path := self._directory / name).exists())


def _import_drawing() -> ModuleType:
    try:
        from .. import drawing  # noqa: PLC0415 - Pillow comes with an extra
    except ImportError as error:
        raise SetupError(
            f"Drawing needs Pillow: {install_command('draw')}, or leave --save-dir out."
        ) from error
    return drawing
