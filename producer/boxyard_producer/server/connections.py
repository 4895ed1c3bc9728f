"""What connections may cost: how many there are, and how long one may say nothing whole."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import State
from uvicorn.protocols.http.h11_impl import H11Protocol

from boxyard_schemas.errors import Unavailable

from .problems import PROBLEM_JSON
from .settings import ServerSettings

_RETRY_AFTER_S = 2


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with two bounds that it has not.

    A connection over the bound is told so and closed, also when it would only wait; and a head of
    a request that is not here in time ends its connection, however slowly it drips in.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        state: State = self.config.app.state  # type: ignore[union-attr]  # it is our app
        self._settings: ServerSettings = state.settings
        self._head_timer: asyncio.TimerHandle | None = None

    # uvicorn narrows the transport of asyncio's protocol, and so must we.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection when there is room."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            transport.write(_too_many())
            transport.close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Reads on; what comes after the head is the body limit's to watch."""
        super().data_received(data)
        if self._is_answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """The next request's head may come, or was there already."""
        super().on_response_complete()
        if not self._is_answering():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(self._settings.head_timeout_s, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


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
