"""The only I/O of the client: send, pause, and do several things at once.

Both exchanges have the same asynchronous face. The blocking one never suspends, so `run` and
`drain` can take what is written once as coroutines to its end without an event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Protocol, TypeVar

import httpx

from .address import Address
from .answers import Outcome
from .requests import Request
from .sources import Source, measure, pieces, pieces_aside

Answer = TypeVar("Answer")
Body = bytes | IO[bytes] | None

CONNECT_S = 10.0
_THREADS = 32


class Exchange(Protocol):
    """What `calls` needs of the world outside."""

    async def send(self, request: Request) -> Outcome:
        """Send once."""

    async def pause(self, seconds: float) -> None:
        """Let time pass."""

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do what may block, such as reading a file."""

    def start(self, call: Coroutine[Any, Any, Answer]) -> Callable[[], Awaitable[Answer]]:
        """Begin a call beside others; what this returns gives its answer, as often as asked."""

    async def close(self) -> None:
        """Close the connections."""


class AsyncExchange:
    """I/O on the running event loop."""

    def __init__(
        self, address: Address, timeout_s: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._http = httpx.AsyncClient(headers=address.headers, transport=transport)
        self._url, self._timeout_s = address.url, timeout_s

    async def send(self, request: Request) -> Outcome:
        """Send once; a failure of the transport is an outcome, not an exception."""
        with _opened(request) as body:
            ready = _prepare(self._http, self._url, request, self._timeout_s, body)
            try:
                return await self._http.send(ready)
            except httpx.TransportError as error:
                return error

    async def pause(self, seconds: float) -> None:
        """Let other tasks run for so many seconds."""
        await asyncio.sleep(seconds)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do it on a thread."""
        return await asyncio.to_thread(work)

    def start(self, call: Coroutine[Any, Any, Answer]) -> Callable[[], Awaitable[Answer]]:
        """Begin a task. Who waits for it may be cancelled; it goes on."""
        task = asyncio.create_task(call)
        return lambda: asyncio.shield(task)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class BlockingExchange:
    """I/O that blocks the calling thread."""

    def __init__(
        self, address: Address, timeout_s: float, transport: httpx.BaseTransport | None
    ) -> None:
        self._http = httpx.Client(headers=address.headers, transport=transport)
        self._url, self._timeout_s = address.url, timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, "boxyard-client")

    async def send(self, request: Request) -> Outcome:
        """Send once; a failure of the transport is an outcome, not an exception."""
        with _opened(request) as body:
            ready = _prepare(self._http, self._url, request, self._timeout_s, body)
            try:
                return self._http.send(ready)
            except httpx.TransportError as error:
                return error

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do it here."""
        return work()

    def start(self, call: Coroutine[Any, Any, Answer]) -> Callable[[], Awaitable[Answer]]:
        """Begin in a thread."""
        future = self._threads.submit(run, call)
        return lambda: _result(future)

    async def close(self) -> None:
        """Close the connections, when what was begun has ended."""
        self._threads.shutdown()
        self._http.close()


def run(call: Awaitable[Answer]) -> Answer:
    """The result of a call over a `BlockingExchange`, which never suspends."""
    try:
        call.__await__().send(None)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    raise RuntimeError("a blocking call suspended")


def drain(calls: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
    """What a generator over a `BlockingExchange` gives, in turn."""
    try:
        while True:
            try:
                answer = run(anext(calls))
            except StopAsyncIteration:
                return
            yield answer
    finally:
        run(calls.aclose())


async def _result(future: Future[Answer]) -> Answer:
    return future.result()


def _opened(request: Request) -> AbstractContextManager[Body]:
    content = request.content
    return content.opened() if isinstance(content, Source) else nullcontext(content)


def _prepare(
    http: httpx.Client | httpx.AsyncClient,
    url: str,
    request: Request,
    timeout_s: float,
    body: Body,
) -> httpx.Request:
    length = None if body is None or isinstance(body, bytes) else measure(body)
    # Where it is not known, httpx knows it or sends chunks.
    known = {} if length is None else {"Content-Length": str(length)}
    return http.build_request(
        request.method,
        url + request.path,
        params=request.params,
        headers={**request.headers, **known},
        content=_content(http, body, length),
        timeout=httpx.Timeout(timeout_s + request.held_s, connect=CONNECT_S),
    )


def _content(
    http: httpx.Client | httpx.AsyncClient, body: Body, length: int | None
) -> bytes | Iterable[bytes] | AsyncIterable[bytes] | None:
    if body is None or isinstance(body, bytes):
        return body
    take = pieces if isinstance(http, httpx.Client) else pieces_aside
    return take(body, length)
