"""Packages that only some models need, and the extras that bring them."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from boxyard_schemas.installation import install_command
from boxyard_worker.detector.errors import DetectorLoadError

EXTRAS: Final = {"nltk": "language", "transformers": "language"}
"""Package → extra."""


@contextmanager
def leave_out(*packages: str) -> Iterator[None]:
    """Inside, importing from any of these fails as if it were not installed.

    mmdet imports what it finds, needed or not, and some of it no longer fits: seconds at each
    start, or no start at all.
    """
    found = {name: sys.modules.get(name) for name in packages}
    sys.modules |= dict.fromkeys(packages)  # type: ignore[arg-type]  # None: not to be imported
    try:
        yield
    finally:
        for name, module in found.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def import_all(modules: Sequence[str], what: str) -> None:
    """Imports modules for what they register.

    Raises:
        DetectorLoadError: one is not installed; the error names the extra that brings it.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise missing(error.name or module, what) from error


def missing(package: str, what: str) -> DetectorLoadError:
    """Says how to get a package that something needs."""
    name = package.partition(".")[0]
    extra = EXTRAS.get(name)
    # No install line for other names: on a package index one may be anybody's.
    hint = (
        f"Install it with the rest that prompts need: {install_command(extra)}"
        if extra
        else f"If {name} is your own code, put the folder that it lies in on PYTHONPATH; else"
        " install it beside Boxyard, from where its authors publish it."
    )
    return DetectorLoadError(f"{what} needs the Python package {name!r}, which is missing.", hint)


def missing_module(error: ImportError, what: str, path: Path) -> DetectorLoadError:
    """Says how to get what an import lacked, by where code of that name lies.

    Args:
        error: what the import raised; mmengine's holds the name in its text alone.
        what: what needs it, such as `The configuration shelf.py`.
        path: the file that names it.
    """
    found = re.search(r"No module named '([^']+)'", str(error))
    module = found[1] if found else ""
    first = module.partition(".")[0]
    if not module or first in sys.modules or importlib.util.find_spec(first):
        return DetectorLoadError(
            f"{what} imports what is not there: {str(error)[:300]}.",
            "Correct the import, or the module that it names.",
        )
    for folder in path.resolve().parents:
        if (folder / first).is_dir() or (folder / f"{first}.py").is_file():
            return DetectorLoadError(
                f"{what} needs the module {module}, and {folder}, where {first} lies, is not on the"
                " module path.",
                f"Put it there: PYTHONPATH={folder} in the worker's environment.",
            )
    return missing(module, what)
