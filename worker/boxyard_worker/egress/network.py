"""Sockets that only go where the policy allows, and no longer than the deadline."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import httpcore

from boxyard_schemas.addresses import AddressPolicy

from .deadline import remaining
from .limits import current

Resolver = Callable[[str, int], list[str]]
"""Host and port to addresses, best first; raises OSError."""


def resolve(host: str, port: int) -> list[str]:
    """Asks the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedNetwork(httpcore.NetworkBackend):
    """Resolves a name once, checks every address, connects to one of those."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver = resolve) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connects within the deadline, trying the host's addresses in turn."""
        addresses = self._checked(host, port)
        for index, address in enumerate(addresses):
            share = remaining() / (len(addresses) - index)
            try:
                return TimedStream(self._tcp.connect_tcp(address, port, share))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _checked(self, host: str, port: int) -> list[str]:
        self._policy.check_host(host)
        addresses = self._resolve_in_time(host, port)
        for address in addresses:
            self._policy.check_address(address, host=host)
        return addresses

    def _resolve_in_time(self, host: str, port: int) -> list[str]:
        # The system's resolver knows no deadline: it is left behind on its thread.
        answers: SimpleQueue[list[str] | Exception] = SimpleQueue()
        Thread(target=self._answer, args=(host, port, answers), daemon=True).start()
        try:
            answer = answers.get(timeout=remaining())
        except Empty:
            raise httpcore.ConnectTimeout(f"resolving {host} took too long") from None
        if isinstance(answer, Exception) or not answer:
            raise httpcore.ConnectError(f"{host} could not be resolved: {answer or 'no address'}")
        return answer

    def _answer(self, host: str, port: int, answers: SimpleQueue[list[str] | Exception]) -> None:
        try:
            answers.put(self._resolver(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error)


class TimedStream(httpcore.NetworkStream):
    """A stream whose every step ends with the request's deadline, so that drips are cut too."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Reads what has come, within the limits of the answer."""
        limits = current()
        data = self._stream.read(limits.piece(max_bytes), remaining())
        limits.received(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Writes in pieces: the socket's own timeout begins anew with each send."""
        for start in range(0, len(buffer), 65_536):
            self._stream.write(buffer[start : start + 65_536], remaining())

    def close(self) -> None:
        """Closes the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Shakes hands by the host's name, not by the address."""
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, remaining()))

    def get_extra_info(self, info: str) -> Any:
        """What the socket knows."""
        return self._stream.get_extra_info(info)
