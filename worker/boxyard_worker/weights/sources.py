"""Where a file may be had, in the order in which it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from boxyard_schemas.errors import SetupError


def list_addresses(url: str, mirrors: Sequence[str], *, published: bool) -> list[str]:
    """The mirrors' addresses of a published file, then its own.

    Args:
        url: the file's own address. Plain http becomes https.
        mirrors: base URLs; each takes the place of scheme and host.
        published: whether the file's own address is asked too.

    Raises:
        SetupError: a mirror is no http or https URL, or nobody may be asked.
    """
    path = urlsplit(url).path
    addresses = [_check(mirror).rstrip("/") + path for mirror in mirrors]
    if published:
        addresses.append(f"https://{urlsplit(url).netloc}{path}")
    if not addresses:
        raise SetupError(
            "BOXYARD_WEIGHTS_MIRRORS_ONLY is set and no mirror is named: --mirror URL, or"
            " BOXYARD_WEIGHTS_MIRRORS."
        )
    return list(dict.fromkeys(addresses))


def _check(mirror: str) -> str:
    parts = urlsplit(mirror)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query:
        raise SetupError(f"The mirror {mirror!r} is no base URL, such as https://mirror.example.")
    return mirror
