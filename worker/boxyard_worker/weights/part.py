"""What has come of a file so far, kept over cuts and restarts."""

from __future__ import annotations

import json
from pathlib import Path

_KEPT = "etag", "last-modified"


class Part:
    """The beginning of a file, and what its server called the version that it belongs to.

    Args:
        target: where the whole file will lie; `.part` is put behind its name.
        checked: the file's digest is known, so a beginning from elsewhere can do no harm.
    """

    def __init__(self, target: Path, *, checked: bool) -> None:
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._version = target.with_name(f"{target.name}.version")
        self._checked = checked

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self, address: str) -> dict[str, str]:
        """Asks an address for what is missing, or for everything where nothing fits."""
        if not self.size:
            return {}
        whence, version = self._read_version()
        begin = {"Range": f"bytes={self.size}-"}
        if version and whence == address:
            return {**begin, "If-Range": version}
        return begin if self._checked else {}

    def belong(self, address: str, headers: dict[str, str]) -> None:
        """Remembers which version of the file the coming bytes belong to."""
        # A weak tag does not promise that bytes are equal.
        versions = [headers[name] for name in _KEPT if name in headers]
        strong = [version for version in versions if not version.startswith("W/")]
        self._version.write_text(json.dumps([address, *strong[:1]]))

    def empty(self) -> None:
        """Begins again."""
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)

    def finish(self) -> None:
        """The file is whole: gives it its name."""
        self._version.unlink(missing_ok=True)
        self.path.replace(self._target)

    def _read_version(self) -> tuple[str, str]:
        try:
            address, *version = json.loads(self._version.read_text())
        except (OSError, ValueError):
            return "", ""
        return address, version[0] if version else ""
