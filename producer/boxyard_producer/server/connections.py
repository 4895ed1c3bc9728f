"""HTTP/1.1 connections: what each may cost, and how each is closed."""

from __future__ import annotations

import asyncio
import re
import time
from http import HTTPStatus
from typing import Any

import h11
from starlette.datastructures import State
from uvicorn.protocols.http.h11_impl import H11Protocol

from boxyard_schemas.errors import BoxyardError, RequestError, Unavailable

from .closing import GracefulTransport
from .parsing import RequestParser
from .pool import ConnectionPool
from .problems import PROBLEM_JSON
from .request_limit import HEALTH_PATHS
from .request_queue import RequestQueue
from .settings import ServerSettings
from .shares import Shares

_RETRY_AFTER_S = 2
_STALLED_S = 30.0
"""A client that takes 64 kB of an answer more slowly than this has gone, or never reads."""
_KEY = re.compile(
    rb"\n(?:authorization:[ \t]*bearer[ \t]+|x-api-key:[ \t]*)([^\r\n]*)", re.IGNORECASE
)


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with bounds that it lacks.

    It belongs to the pool, which closes idle connections when there are too many. A request's head
    that does not arrive in time ends its connection, and so does an answer that is not read. An
    answer that comes before the end of a body is not lost: see `GracefulTransport`. Requests are
    parsed a little at a time, and those without a valid API key begin one after another: see
    `RequestParser` and `RequestQueue`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        state: State = self.config.app.state  # type: ignore[union-attr]  # it is our app
        self._settings: ServerSettings = state.settings
        self._pool: ConnectionPool = state.pool
        self._shares: Shares = state.shares
        self._request_queue: RequestQueue = state.request_queue
        self._parser = self.conn = RequestParser(self._may_begin)
        self._next_turn: asyncio.Handle | None = None
        self._waits_as = ""
        """The holder as whom its next request waits in the queue of requests without a key."""
        self._has_turn = self._pipelines = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self.address, self.known, self.has_asked = "", False, False
        self._since = time.monotonic()
        # Requests find their connection in their scope's state.
        self.app_state = {**self.app_state, "connection": self}

    # uvicorn narrows the transport of asyncio's protocol, and so must we.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection when there is room, at least to refuse its requests."""
        self._wire = GracefulTransport(transport, self._is_reading)
        super().connection_made(self._wire)
        self.address = self.client[0] if self.client else ""
        if self._pool.add(self):
            self._await_head()
        else:
            self._refuse(Unavailable("The server has as many connections as it may."))

    def data_received(self, data: bytes) -> None:
        """Reads on; what comes after the head is the body limit's to watch."""
        if self._wire.is_closing() or self._parser.refusal:
            self._wire.discard(len(data))
        else:
            super().data_received(data)

    def handle_events(self) -> None:
        """Handles some of what has come, and the rest after other connections had their turn."""
        if self._wire.is_closing():
            return
        self._parser.begin_turn()
        super().handle_events()
        if self._is_answering():
            self.has_asked = True
            self._stop_head_timer()
            if self._parser.refusal:
                self.cycle.message_event.set()
        if self._parser.has_more and self._next_turn is None:
            self._next_turn = self.loop.call_soon(self._take_next_turn)
        self._wire.hold(self._parser.has_more or bool(self._waits_as))

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, or is over a limit of its parser, and closes."""
        if self._is_answering() and self.cycle.response_started:
            self._wire.abort()  # it would be read as part of the answer that has begun
        else:
            self._refuse(self._parser.refusal or RequestError("This is not a request of HTTP/1.1."))

    def on_response_complete(self) -> None:
        """The next request's head may come, or was there already."""
        self._pipelines = True
        super().on_response_complete()
        self._pipelines = False
        if not self._is_answering():
            self._await_head()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered: it has some time to."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(_STALLED_S, self._wire.abort)

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        self._stop_stall_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._pool.remove(self)
        self._request_queue.leave(self._waits_as, self._begin)
        self._stop_head_timer()
        self._stop_stall_timer()
        self._wire.forget()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: what was answered already is not waited for."""
        if self._wire.is_closing():
            self._wire.abort()
        else:
            super().shutdown()

    @property
    def idle_since(self) -> float | None:
        """Since when no request of it is being answered.

        An answer that is not read keeps it busy only when a valid API key was seen on it.
        """
        if self._wire.is_closing():
            is_idle = True
        elif self._wire.get_write_buffer_size():
            is_idle = not self.known
        else:
            is_idle = not self._is_answering()
        return self._since if is_idle else None

    @property
    def refusal(self) -> BoxyardError | None:
        """Why no more of the request is parsed; `BodyLimit` answers it."""
        return self._parser.refusal

    def drop(self) -> None:
        """Closes it at once."""
        self._wire.abort()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_reading(self) -> bool:
        """Whether the client may still be sending, so that closing would reset the connection."""
        sending = self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        return sending or self._parser.refusal is not None

    def _may_begin(self, head: bytes) -> bool:
        """Whether the request with this head may be parsed, or has to wait."""
        if self._waits_as:
            return False
        if self._has_turn:
            self._has_turn = False
            return True
        shown = _KEY.search(head)
        key = shown[1].strip().decode("latin-1") if shown else ""
        if key and self._shares.knows(key):
            return True
        # Each kind of request waits for its own alone: a probe on a new connection does not wait
        # for what others send without end.
        target = (head.split(b" ", 2)[1:2] or [b""])[0].partition(b"?")[0].decode("latin-1")
        kind = target if target in HEALTH_PATHS else bool(key)
        holder = f"{self.address} {kind} {self.has_asked} {self._pipelines}"
        if self._request_queue.enter(holder, self._begin):
            return True
        self._waits_as = holder
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        return False

    def _begin(self) -> None:
        self._waits_as, self._has_turn = "", True
        self.handle_events()

    def _take_next_turn(self) -> None:
        self._next_turn = None
        self.handle_events()

    def _refuse(self, error: BoxyardError) -> None:
        self._wire.write(_answer(error))
        self._wire.close()

    def _await_head(self) -> None:
        self._since = time.monotonic()
        self._stop_head_timer()
        if not self._waits_as:
            after_s = self._settings.head_timeout_s
            self._head_timer = self.loop.call_later(after_s, self._wire.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def _answer(error: BoxyardError) -> bytes:
    body = error.problem().model_dump_json(exclude_none=True)
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        f"Content-Type: {PROBLEM_JSON}",
        f"Content-Length: {len(body)}",
        *([f"Retry-After: {_RETRY_AFTER_S}"] if isinstance(error, Unavailable) else []),
        "Connection: close",
    )
    return "\r\n".join([*head, "", body]).encode()
