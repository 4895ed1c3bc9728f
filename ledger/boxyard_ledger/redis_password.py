"""The password of an embedded Redis, in its configuration file.

Operators may add lines of their own to that file, and Redis itself writes it anew at
`CONFIG REWRITE`: whatever it holds beside a password that cannot be read is kept.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from boxyard_schemas.errors import SetupError

from .append_only import set_aside

_DIRECTIVE = re.compile(rb"\s*requirepass\b", re.IGNORECASE)
_READABLE = re.compile(
    rb"\s*requirepass[ \t]+(?P<quote>[\"']?)"
    rb"(?P<password>[^\s\"'\\\x00-\x1f\x7f-\xff]+)(?P=quote)\s*",
    re.IGNORECASE,
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def keep_password(path: Path, known: str | None = None, *, is_in_use: bool = False) -> str:
    """The password that a configuration file sets; one that sets none is given one.

    Lines that Redis could not read are left out: those with zero bytes, as a power cut may leave
    them, and passwords that are missing or damaged. A file that is changed is kept beside it.

    Args:
        path: the file.
        known: the password of the last start; None: a new one is made where the file sets none.
        is_in_use: clients use `known` by now: it takes the place of another one.

    Raises:
        SetupError: the file cannot be read or written.
    """
    lines = _read(path)
    kept = [line for line in map(_without_mark, lines) if _is_kept(line)]
    if is_in_use and _passwords(kept)[-1:] != [known]:
        kept = [line for line in kept if not _DIRECTIVE.match(line)]
    if not _passwords(kept):
        kept.append(f"requirepass {known or secrets.token_hex(24)}".encode())
    if kept != lines:
        _write(path, b"".join(line + b"\n" for line in kept))
    return _passwords(kept)[-1]


def _passwords(lines: list[bytes]) -> list[str]:
    """Those that are set; the last one counts."""
    found = map(_READABLE.fullmatch, lines)
    return [match["password"].decode("ascii") for match in found if match]


def _without_mark(line: bytes) -> bytes:
    return line.removeprefix(_BYTE_ORDER_MARK)


def _is_kept(line: bytes) -> bool:
    return b"\0" not in line and not (_DIRECTIVE.match(line) and not _READABLE.fullmatch(line))


def _read(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
        with suppress(FileNotFoundError):
            set_aside(path, "damaged")
        fresh.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
