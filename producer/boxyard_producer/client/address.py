"""Where the server is and who calls."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, field

import httpx

from boxyard_schemas.errors import SetupError
from boxyard_schemas.variables import meant_by

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Address:
    """A server's URL and the key that opens it."""

    url: str
    api_key: str = field(repr=False)

    @classmethod
    def find(cls, url: str | None, api_key: str | None) -> Address:
        """Arguments first, then `BOXYARD_URL` and `BOXYARD_API_KEY`.

        Raises:
            SetupError: the URL is not http(s), no key is given, or it cannot be one.
        """
        found = url or os.environ.get("BOXYARD_URL")
        if not found:
            found = DEFAULT_URL
            if mistyped := _mistyped("BOXYARD_URL"):
                warnings.warn(f"{DEFAULT_URL} is asked.{mistyped}", stacklevel=4)
        # A key that was read from a file has a line break behind it.
        key = (api_key or os.environ.get("BOXYARD_API_KEY") or "").strip()
        if not _is_http(found):
            raise SetupError(f"{found!r} is no http or https URL: mend url= or BOXYARD_URL.")
        if not key:
            raise SetupError(
                "No API key: give api_key= or set BOXYARD_API_KEY. `boxyard up` prints one."
                + _mistyped("BOXYARD_API_KEY")
            )
        if not re.fullmatch(r"[!-~]+", key):  # never quoted: logs would have it
            raise SetupError(
                "The API key has spaces, line breaks or letters outside ASCII in it, which no key "
                "has: mend api_key= or BOXYARD_API_KEY."
            )
        return cls(found.rstrip("/"), key)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.api_key}"}


def _mistyped(wanted: str) -> str:
    """A sentence on variables that seem to mean this one."""
    names = [name for name in os.environ if name != wanted and meant_by(name) == wanted]
    return f" {', '.join(names)} is not read: did you mean {wanted}?" if names else ""


def _is_http(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)
