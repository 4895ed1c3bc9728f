"""A TCP proxy on 127.0.0.1 that delays, freezes, resets, cuts and holds what goes through it.

Holding the answer to a request, or the request itself, is how a process is met at one exact step:
it hangs there until it is killed, and needs no hook of its own for that.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Self

_CHUNK = 1 << 16
_MEMORY = 1 << 18
"""Bytes of a request in which the words of a `Hold` are looked for."""
_CONTINUE = b"HTTP/1.1 100 "


class Hold:
    """A request, or its answer, that gets no further for now.

    Args:
        words: all must stand in the request.
        answer: the request goes on, its answer is held; else the request is.
    """

    def __init__(self, words: tuple[bytes, ...], *, answer: bool) -> None:
        self.words, self.answer = words, answer
        self._seen, self._met, self._over = Event(), Event(), Event()
        self._dropped = False

    def wait_for_request(self, seconds: float = 60) -> None:
        """Until the request has come; its answer may take longer."""
        assert self._seen.wait(seconds), f"nothing with {self.words} came"

    def claim(self, request: bytes) -> bool:
        """Whether this is the request."""
        if all(word in request for word in self.words):
            self._seen.set()
        return self._seen.is_set()

    def wait(self, seconds: float = 60) -> None:
        """Until something is held."""
        assert self._met.wait(seconds), f"no answer to {self.words} came"

    def release(self) -> None:
        """Lets it go on."""
        self._over.set()

    def drop(self) -> None:
        """It gets no further, ever: its connection is reset."""
        self._dropped = True
        self._over.set()

    def stay(self) -> bool:
        """Holds the calling thread; whether it may go on."""
        self._met.set()
        self._over.wait()
        return not self._dropped


class Proxy:
    """Stands before a port of this machine; what is done to it, it does to all connections.

    Args:
        target: port of the server behind.
        host: of the server behind.
        listen: the address to listen on.

    Attributes:
        latency_s: every piece of data waits so long, each way.
        refuses: new connections are reset.
    """

    def __init__(self, target: int, *, host: str = "127.0.0.1", listen: str = "127.0.0.1") -> None:
        self._target = (host, target)
        self.latency_s = 0.0
        self.refuses = False
        self._thawed = Event()
        self._thawed.set()
        self._lock = Lock()
        self._holds: list[Hold] = []
        self._cuts: list[int] = []
        self._lines: set[_Line] = set()
        self._door = socket.create_server((listen, 0), backlog=512)
        self.host, self.port = self._door.getsockname()
        self.connections = 0
        Thread(target=self._welcome, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def redis_url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.refuses = True
        # A thread that waits in `accept` is not woken by `close`.
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for hold in self._holds:
            hold.drop()
        self.thaw()
        self.reset()

    def freeze(self) -> None:
        """Nothing goes through, and nobody is told."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def reset(self) -> int:
        """Resets all connections; returns how many there were."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.reset()
        return len(lines)

    def cut_after(self, count: int) -> None:
        """The next answer ends in a reset after so many bytes."""
        self._cuts.append(count)

    @contextmanager
    def hold(self, *words: bytes, answer: bool = True) -> Iterator[Hold]:
        """Holds the next request that has all the words, or its answer; in the end it is dropped.

        Args:
            words: of the request.
            answer: the answer is held; else the request, which the server then never sees.
        """
        hold = Hold(words, answer=answer)
        with self._lock:
            self._holds.append(hold)
        try:
            yield hold
        finally:
            hold.drop()
            with self._lock:
                self._holds = [each for each in self._holds if each is not hold]

    def pause(self) -> None:
        """Of a piece of data."""
        if self.latency_s:
            time.sleep(self.latency_s)
        self._thawed.wait()

    def claim_hold(self, request: bytes) -> Hold | None:
        """The hold that waits for this request; no other request gets it."""
        with self._lock:
            for hold in self._holds:
                if hold.claim(request):
                    self._holds.remove(hold)
                    return hold
        return None

    def claim_cut(self) -> int | None:
        with self._lock:
            return self._cuts.pop() if self._cuts else None

    def forget(self, line: _Line) -> None:
        with self._lock:
            self._lines.discard(line)

    def _welcome(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._door.accept()
                self.connections += 1
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            if self.refuses:
                raise ConnectionRefusedError
            server = socket.create_connection(self._target)
        except OSError:
            _reset(client)
            return
        line = _Line(self, client, server)
        with self._lock:
            self._lines.add(line)
        line.start()


class _Line:
    """One connection and its continuation to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._hold: Hold | None = None
        self._past = b""
        self._ends = itertools.count()  # its `next` is atomic

    def start(self) -> None:
        for pump in (self._send_requests, self._send_answers):
            Thread(target=self._carry, args=(pump,), daemon=True).start()

    def reset(self) -> None:
        _reset(self._client)
        _reset(self._server)
        self._proxy.forget(self)

    def _carry(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except OSError:
            self.reset()
        finally:
            if next(self._ends):
                self._client.close()
                self._server.close()
                self._proxy.forget(self)

    def _send_requests(self) -> None:
        while data := self._client.recv(_CHUNK):
            self._proxy.pause()
            self._past = (self._past + data)[-_MEMORY:]
            if hold := self._proxy.claim_hold(self._past):
                self._past = b""
                if hold.answer:
                    self._hold = hold
                elif not hold.stay():
                    raise ConnectionResetError
            self._server.sendall(data)
        self._server.shutdown(socket.SHUT_WR)

    def _send_answers(self) -> None:
        while data := self._server.recv(_CHUNK):
            self._past = b""  # what follows is another request
            self._proxy.pause()
            if (cut := self._proxy.claim_cut()) is not None:
                self._client.sendall(data[:cut])
                raise ConnectionResetError
            hold = self._hold
            if hold and not data.startswith(_CONTINUE):
                self._hold = None
                if not hold.stay():
                    raise ConnectionResetError
            self._client.sendall(data)
        self._client.shutdown(socket.SHUT_WR)


def _reset(line: socket.socket) -> None:
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Else the socket stays open for as long as the other thread's `recv` does.
        line.shutdown(socket.SHUT_RD)
    line.close()
