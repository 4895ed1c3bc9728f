"""What a stack on one machine is made of."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boxyard_schemas import DEMO_MODEL
from boxyard_schemas.errors import SetupError

from .credentials import DEFAULT_DATA


@dataclass(frozen=True)
class StackSettings:
    """How `boxyard up` was called."""

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = DEMO_MODEL
    weights: str | None = None
    """A safetensors file, or `random`; the demo model brings its own."""
    device: str = "cpu"
    data: Path = DEFAULT_DATA
    allow_networks: tuple[str, ...] = ()
    """CIDRs that pictures may come from and callbacks go to, though they are not global."""
    detector: str | None = None
    redis_url: str | None = None
    """A Redis of the operator's, in place of an embedded one."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """The operator's, for every process of the stack."""
    new_credentials: bool = False
    """The keys were lost: make new ones."""
    cut_damaged_file: bool = False
    """Cut Redis' append-only file where it is damaged, before the start."""
    new_ledger: bool = False
    """The ledger was lost: begin with an empty one."""
    log_bytes: int = 50_000_000
    """A log that grew beyond it is begun anew; the one before is kept beside it."""

    @property
    def url(self) -> str:
        """Where this machine reaches the server."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def claim_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        SetupError: something listens there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SetupError(_why_not(host, port, error)) from error
        found: int = probe.getsockname()[1]
        return found


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken: choose another with --port, or 0 for a free one."
    return (
        f"{host or 'Every address'}:{port} cannot be listened on: {error.strerror}. "
        "Name an address of this machine by --host, such as 127.0.0.1 or 0.0.0.0."
    )
