"""The only I/O of the client: send, pause, read a file.

Both exchanges have the same asynchronous face. The blocking one never suspends, so `run` can
take what is written once as a coroutine to its end without an event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

from .address import Address
from .answers import Outcome
from .requests import Request

Answer = TypeVar("Answer")

CONNECT_S = 10.0


class Exchange(Protocol):
    """What `calls` needs of the world outside."""

    async def send(self, request: Request) -> Outcome:
        """Send once."""

    async def pause(self, seconds: float) -> None:
        """Let time pass."""

    async def read(self, path: Path) -> bytes:
        """A file's content."""


class AsyncExchange:
    """I/O on the running event loop."""

    def __init__(
        self, address: Address, timeout_s: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.http = httpx.AsyncClient(headers=address.headers, transport=transport)
        self._url, self._timeout_s = address.url, timeout_s

    async def send(self, request: Request) -> Outcome:
        """Send once; a failure of the transport is an outcome, not an exception."""
        ready = _prepare(self.http, self._url, request, self._timeout_s)
        try:
            return await self.http.send(ready)
        except httpx.TransportError as error:
            return error

    async def pause(self, seconds: float) -> None:
        """Let other tasks run for so many seconds."""
        await asyncio.sleep(seconds)

    async def read(self, path: Path) -> bytes:
        """Read without holding up the event loop."""
        return await asyncio.to_thread(path.read_bytes)


class BlockingExchange:
    """I/O that blocks the calling thread."""

    def __init__(
        self, address: Address, timeout_s: float, transport: httpx.BaseTransport | None
    ) -> None:
        self.http = httpx.Client(headers=address.headers, transport=transport)
        self._url, self._timeout_s = address.url, timeout_s

    async def send(self, request: Request) -> Outcome:
        """Send once; a failure of the transport is an outcome, not an exception."""
        ready = _prepare(self.http, self._url, request, self._timeout_s)
        try:
            return self.http.send(ready)
        except httpx.TransportError as error:
            return error

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    async def read(self, path: Path) -> bytes:
        """Read at once."""
        return path.read_bytes()


def run(call: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of a call over a `BlockingExchange`, which never suspends."""
    try:
        call.send(None)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    raise RuntimeError("a blocking call suspended")


def _prepare(
    http: httpx.Client | httpx.AsyncClient, url: str, request: Request, timeout_s: float
) -> httpx.Request:
    return http.build_request(
        request.method,
        url + request.path,
        params=request.params,
        headers=request.headers,
        content=request.content,
        timeout=httpx.Timeout(timeout_s + request.held_s, connect=CONNECT_S),
    )
