"""The wire to Redis: TLS, and how a dead one is noticed; for redis-py and for Celery alike."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .settings import LedgerSettings

_IDLE_S, _PROBE_S, _PROBES = 10, 5, 3
_SILENT_MS = 20_000
_TCP_OPTIONS = {
    "TCP_KEEPIDLE": _IDLE_S,
    "TCP_KEEPINTVL": _PROBE_S,
    "TCP_KEEPCNT": _PROBES,
    # What was sent into a cut line is otherwise repeated for a quarter of an hour.
    "TCP_USER_TIMEOUT": _SILENT_MS,
}
_PLAIN, _TLS = "redis", "rediss"
_PORT = 6379


def socket_options(settings: LedgerSettings) -> dict[str, Any]:
    """Time limits, and probes that end a connection whose other end is silent within 25 s."""
    return {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "socket_keepalive": True,
        "socket_keepalive_options": {
            getattr(socket, name): value
            for name, value in _TCP_OPTIONS.items()
            if hasattr(socket, name)
        },
    }


def tls_options(settings: LedgerSettings) -> dict[str, Any]:
    """What a `rediss://` connection checks and shows; nothing for other URLs."""
    if urlsplit(settings.redis_url).scheme != _TLS:
        return {}
    files: Mapping[str, object] = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_certificate_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    known = {name: str(path) for name, path in files.items() if path}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **known}


def find_fault(settings: LedgerSettings) -> str | None:
    """Why no command gets through, where the wire itself shows it.

    Returns:
        What the operator must mend; None when there is nothing to say, as when Redis is away.
    """
    url = urlsplit(settings.redis_url)
    if url.scheme not in (_PLAIN, _TLS):
        return None
    address, limit_s = (url.hostname or "localhost", url.port or _PORT), settings.redis_timeout_s
    if url.scheme == _PLAIN:
        if not _speaks_plainly(address, limit_s) and _speaks_tls(address, limit_s):
            return "Redis speaks TLS at this port: write rediss:// in BOXYARD_REDIS_URL."
        return None
    if _speaks_plainly(address, limit_s):
        return "Redis speaks no TLS at this port: write redis:// in BOXYARD_REDIS_URL."
    return _find_tls_fault(settings, address)


def _speaks_plainly(address: tuple[str, int], limit_s: float) -> bool:
    try:
        with socket.create_connection(address, limit_s) as wire:
            wire.sendall(b"PING\r\n")
            return wire.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _speaks_tls(address: tuple[str, int], limit_s: float) -> bool:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(address, limit_s) as wire, anybody.wrap_socket(wire):
            return True
    except OSError:
        return False


def _find_tls_fault(settings: LedgerSettings, address: tuple[str, int]) -> str | None:
    try:
        context = ssl.create_default_context(cafile=settings.redis_ca_file)
        if settings.redis_certificate_file:
            context.load_cert_chain(settings.redis_certificate_file, settings.redis_key_file)
    except OSError as error:
        return f"BOXYARD_REDIS_CA_FILE, …_CERTIFICATE_FILE or …_KEY_FILE is not one: {error}"
    try:
        with (
            socket.create_connection(address, settings.redis_timeout_s) as wire,
            context.wrap_socket(wire, server_hostname=address[0]) as secure,
        ):
            secure.sendall(b"PING\r\n")
            secure.recv(1)  # a server that refuses our certificate says so only here
    except ssl.SSLCertVerificationError as error:
        return f"Redis' certificate is not trusted: {error}. See BOXYARD_REDIS_CA_FILE."
    except ssl.SSLError as error:
        return f"Redis refuses this TLS client: {error}. See BOXYARD_REDIS_CERTIFICATE_FILE."
    except OSError:
        return None
    return None
