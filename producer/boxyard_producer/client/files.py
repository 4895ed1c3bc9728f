"""What is wrong with a path that is no image file, before anything is sent."""

from __future__ import annotations

import errno
import os
import re
import stat

from boxyard_schemas.errors import InvalidRequest

_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]{64,}")


def check_file(path: str) -> None:
    """See that a path leads to a file with something in it, which may be read.

    Raises:
        OSError: there is none, or it is something else; `filename` and `strerror` say what to do.
        InvalidRequest: it is empty, or the text cannot be a path.
    """
    name = shorten(path)
    if not path or "\0" in path:
        raise InvalidRequest(f"{name!r} is no path of an image")
    try:
        status = os.stat(path)
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name!r} is no path of an image") from None
    except OSError as error:
        number = error.errno or errno.EINVAL
        raise OSError(number, os.strerror(number) + _hint(path), name) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(
            errno.EISDIR, f"is a directory: give the images in it, as {_LISTED}", name
        )
    if not stat.S_ISREG(status.st_mode):
        raise OSError(
            errno.EINVAL,
            "is a pipe, a socket or a device: give it opened with mode 'rb', or save it as a file",
            name,
        )
    if not status.st_size:
        raise InvalidRequest(f"{name}: the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, "may not be read by this user: see its mode", name)


_LISTED = "sorted(Path(…).rglob('*.jpg'))"


def shorten(text: str, most: int = 200) -> str:
    """A text of any length and content, on one line of about `most` characters."""
    whole = text if text.isprintable() else repr(text)[1:-1]
    if len(whole) <= most:
        return whole
    return f"{whole[: most // 2]}…{whole[-most // 4 :]} ({len(text)} characters)"


def _hint(text: str) -> str:
    """What the caller may have given in place of a path."""
    if text.startswith(("b'", 'b"')):
        return ": this is bytes written as text; give the bytes themselves"
    if _BASE64.fullmatch(text):
        return ": if this is base64, give base64.b64decode(text), or {'base64': text}"
    if text != text.strip():
        return ": it begins or ends with a space or a line break"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        return ": a URL is given as text and has two slashes, as in https://example.com/a.jpg"
    return ""
