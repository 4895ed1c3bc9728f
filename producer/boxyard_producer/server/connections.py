"""HTTP/1.1 connections: what each may cost, and how each is closed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from starlette.datastructures import State
from uvicorn.protocols.http.h11_impl import H11Protocol

from boxyard_schemas.errors import Unavailable

from .closing import GracefulTransport
from .pool import ConnectionPool
from .problems import PROBLEM_JSON
from .settings import ServerSettings

_RETRY_AFTER_S = 2
_STALLED_S = 30.0
"""A client that takes 64 kB of an answer more slowly than this has gone, or never reads."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with bounds that it lacks.

    It belongs to the pool, which closes idle connections when there are too many. A request's head
    that does not arrive in time ends its connection, and so does an answer that is not read. An
    answer that comes before the end of a body is not lost: see `GracefulTransport`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        state: State = self.config.app.state  # type: ignore[union-attr]  # it is our app
        self._settings: ServerSettings = state.settings
        self._pool: ConnectionPool = state.pool
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self.address, self.known, self.has_asked = "", False, False
        self._since = time.monotonic()
        # Requests find their connection in their scope's state.
        self.app_state = {**self.app_state, "connection": self}

    # uvicorn narrows the transport of asyncio's protocol, and so must we.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection when there is room, at least to refuse its requests."""
        self._wire = GracefulTransport(transport, self._is_reading_body)
        super().connection_made(self._wire)
        self.address = self.client[0] if self.client else ""
        if self._pool.add(self):
            self._await_head()
        else:
            transport.write(_too_many())
            self._wire.close()

    def data_received(self, data: bytes) -> None:
        """Reads on; what comes after the head is the body limit's to watch."""
        if self._wire.is_closing():
            self._wire.discard(len(data))
            return
        super().data_received(data)
        if self._is_answering():
            self.has_asked = True
            self._stop_head_timer()

    def on_response_complete(self) -> None:
        """The next request's head may come, or was there already."""
        super().on_response_complete()
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

    def drop(self) -> None:
        """Closes it at once."""
        self._wire.abort()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_reading_body(self) -> bool:
        """Whether the client may still be sending, so that closing would reset the connection."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _await_head(self) -> None:
        self._stop_head_timer()
        self._since = time.monotonic()
        self._head_timer = self.loop.call_later(self._settings.head_timeout_s, self._wire.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def _too_many() -> bytes:
    problem = Unavailable("The server has as many connections as it may.").problem()
    body = problem.model_dump_json(exclude_none=True)
    head = (
        "HTTP/1.1 503 Service Unavailable",
        f"Content-Type: {PROBLEM_JSON}",
        f"Content-Length: {len(body)}",
        f"Retry-After: {_RETRY_AFTER_S}",
        "Connection: close",
    )
    return "\r\n".join([*head, "", body]).encode()
