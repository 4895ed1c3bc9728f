"""A loop's sign of life, for container health checks."""

from __future__ import annotations

from pathlib import Path


class Pulse:
    """A file whose age says how long ago the loop last got work done or found none to do.

    Args:
        path: the file, or None to leave no sign.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def beat(self) -> None:
        """Makes the file young."""
        if self._path:
            self._path.touch()
