"""Results on disk: the JSON as the API gave it, and pictures with the detections drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rich.markup import escape

from boxyard_schemas import ImageSuccess, JobResult
from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

from .terminal import err, warn


def save(directory: Path, results: Sequence[tuple[JobResult, Sequence[str]]]) -> None:
    """Write `{job}.json` for each job, and each local picture with what was found in it.

    Args:
        directory: made when it is not there.
        results: each with what was submitted, in order; URLs are not fetched again.

    Raises:
        SetupError: Pillow is not installed.
    """
    drawing = _drawing()
    directory.mkdir(parents=True, exist_ok=True)
    taken: Counter[str] = Counter()
    for result, pictures in results:
        (directory / f"{result.job}.json").write_text(result.model_dump_json(indent=1) + "\n")
        for name, outcome in zip(pictures, result.images, strict=True):
            if isinstance(outcome, ImageSuccess) and (source := _local(name)):
                picture = drawing.draw(source.read_bytes(), outcome)
                picture.save(directory / _name(source, taken), quality=92)
    drawn = taken.total()
    err.print(f"{escape(str(directory))}: {len(results)} JSON files, {drawn} drawn pictures")


def _local(name: str) -> Path | None:
    source = Path(name)
    if source.is_file():
        return source
    warn(f"{name}: not drawn, because it is not on this machine")
    return None


def _name(source: Path, taken: Counter[str]) -> str:
    """`stem.jpg`; pictures of the same name in other directories get a number."""
    taken[source.stem] += 1
    number = taken[source.stem]
    return f"{source.stem}.jpg" if number == 1 else f"{source.stem}-{number}.jpg"


def _drawing() -> ModuleType:
    try:
        from .. import drawing  # noqa: PLC0415 - Pillow comes with an extra
    except ImportError as error:
        raise SetupError(
            f"Drawing needs Pillow: {install_command('draw')}, or leave --save-dir out."
        ) from error
    return drawing
