"""Ports that stay free for those whom a test tells of them."""

from __future__ import annotations

import socket


def hold_port(host: str = "127.0.0.1") -> int:
    """A free port of an address of this machine, which nobody else is given by chance.

    To the end of this process a socket is bound to it that never listens. Connections are refused,
    until a server listens there that sets SO_REUSEADDR, as nearly all do; also after its restart.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        port: int = holder.getsockname()[1]
        holder.detach()
    return port
