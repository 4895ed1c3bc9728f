"""What a URL must look like before anything is asked about its host."""

from __future__ import annotations

import re
from collections.abc import Collection

import httpx

from boxyard_schemas.errors import Permanent

_HOST_LENGTH = 253
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?", re.ASCII)
_SIX = re.compile(r"[0-9a-f]*:[0-9a-f:.]*", re.IGNORECASE)
"""No zone: who names one means an interface of this machine."""


def read_target(url: str | httpx.URL, ports: Collection[int]) -> httpx.URL:
    """Reads a URL.

    Args:
        url: as a caller wrote it.
        ports: that may be reached; none means all.

    Raises:
        Permanent: `address-denied`: it is none, or not one that is reached.
    """
    try:
        target = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise _denied(f"not a URL: {error}") from error
    _check_host(target)
    _check_port(target, ports)
    return target


def follow(target: httpx.URL, location: str, ports: Collection[int]) -> httpx.URL:
    """Where a redirect leads.

    Raises:
        Permanent: `address-denied`.
    """
    try:
        onward = target.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise _denied(f"redirected to no URL: {error}") from error
    if target.scheme == "https" and onward.scheme == "http":
        raise _denied("redirected from https to http")
    return read_target(onward, ports)


def _check_host(target: httpx.URL) -> None:
    # Not `host`, which translates names back from ASCII and fails where they are malformed.
    host = target.raw_host.decode("ascii", "replace")
    if target.scheme not in ("http", "https") or not host:
        raise _denied("only http and https URLs with a host are reached")
    if len(host) > _HOST_LENGTH or not (_NAME.fullmatch(host) or _SIX.fullmatch(host)):
        raise _denied(f"{host[:80]!r} is not the name of a host")
    if target.userinfo:
        raise _denied("a URL with a user name or a password is not reached")


def _check_port(target: httpx.URL, ports: Collection[int]) -> None:
    port = target.port
    if port is None:
        port = 443 if target.scheme == "https" else 80
    if not 0 < port < 65_536:
        raise _denied(f"{port} is not a port")
    if ports and port not in ports:
        raise _denied(f"port {port} is not in the setting BOXYARD_ALLOWED_PORTS")


def _denied(detail: str) -> Permanent:
    return Permanent("address-denied", detail)
