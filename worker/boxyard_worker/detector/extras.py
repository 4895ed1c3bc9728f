"""Packages that only some models need, and the extras that bring them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    hint = (
        f"Install it with the rest that prompts need: {install_command(extra)}"
        if extra
        else f"Boxyard brings it with no extra; install it beside Boxyard: pip install {name}"
    )
    return DetectorLoadError(f"{what} needs the Python package {name!r}, which is missing.", hint)
