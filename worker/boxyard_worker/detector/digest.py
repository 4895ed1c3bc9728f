"""Files are known by their sha256."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path


def hash_file(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def claimed_digest(path: Path) -> str:
    """The hex digits that a published file's name says its sha256 begins with, or ""."""
    found = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    return found[1] if found else ""
