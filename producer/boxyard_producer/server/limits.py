"""What request bodies may cost: bytes each, bytes together, and time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boxyard_schemas import ApiKey
from boxyard_schemas.errors import (
    BoxyardError,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unavailable,
)

from .problems import BodyRefused, answer
from .settings import ServerSettings

_SMALL = 64 * 2**10
"""The cap of bodies that carry no pictures. So much of any body is not counted against the room."""

_SLOW_START_S = 10
_LEAST_BYTES_A_S = 4096
"""A body that comes more slowly, after a start, would hold one of the connections for too long."""

_RETRY_AFTER_S = 2


class Connection(Protocol):
    """What the body limit needs to know of a request's connection."""

    @property
    def refusal(self) -> BoxyardError | None:
        """Why no more of the body is parsed."""


class Room:
    """Bytes that may be in memory at once; no tenant gets more than half of them.

    Args:
        max_bytes: of all tenants together.
        limit: its name in answers.
        advice: what a tenant over its half is told.
    """

    def __init__(self, max_bytes: int, limit: str, advice: str) -> None:
        self._max_bytes, self._limit, self._advice = max_bytes, limit, advice
        self._held: Counter[str] = Counter()

    def take(self, tenant: str, size: int) -> None:
        """Makes room.

        Raises:
            TooManyRequests: this tenant holds its half.
            Unavailable: there is none.
        """
        if self._held[tenant] and self._held[tenant] + size > self._max_bytes // 2:
            raise TooManyRequests(
                f"Your requests fill {self._max_bytes // 2} bytes of the server's memory. "
                f"{self._advice}",
                retry_after_s=_RETRY_AFTER_S,
                limit=self._limit,
            )
        if self._held and self._held.total() + size > self._max_bytes:
            raise Unavailable("The server's memory is full.", retry_after_s=_RETRY_AFTER_S)
        self._held[tenant] += size

    def give(self, tenant: str, size: int) -> None:
        """Gives room back."""
        self._held[tenant] -= size
        if not self._held[tenant]:
            del self._held[tenant]


class BodyLimit:
    """Middleware that reads no more of a body, and no longer, than the settings say.

    A body that declares more is refused unread; one that declares nothing (chunked) is counted.

    Args:
        app: what is behind it.
        settings: the server's.
        roomy: paths that take pictures; bodies to all others are small.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, roomy: frozenset[str]) -> None:
        self._app, self._settings, self._roomy = app, settings, roomy
        self._room = Room(
            settings.max_bodies_bytes,
            limit="body-bytes",
            advice="Send fewer at once, or pictures by POST /v1/uploads.",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, its body bounded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._settings.max_body_bytes if scope["path"] in self._roomy else _SMALL
        body = _Body(
            scope,
            receive,
            send,
            max_bytes=max_bytes,
            timeout_s=self._settings.body_timeout_s,
            room=self._room,
        )
        if body.declared > max_bytes:
            await answer(body.too_large(), scope["path"])(scope, body.receive, body.send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            body.release()


class _Body:
    """One request's body on its way in."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        max_bytes: int,
        timeout_s: float,
        room: Room,
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._max_bytes, self._timeout_s, self._room = max_bytes, timeout_s, room
        self._deadline = time.monotonic() + timeout_s
        self._began = 0.0
        headers = dict(scope["headers"])
        self.declared = int(headers.get(b"content-length", b"0"))
        self._whole = not self.declared and b"transfer-encoding" not in headers
        self._seen = self._held = 0
        self._tenant = ""

    async def receive(self) -> Message:
        """The next piece, if it may come."""
        if self._whole:
            return await self._receive()
        if not self._held:
            # All at once, and before a client is told to continue: when many bodies come together,
            # those that begin then also get to their end.
            self._hold(self.declared)
        message = await self._next()
        connection: Connection = self._scope["state"]["connection"]
        if connection.refusal:
            raise BodyRefused(connection.refusal)
        self._seen += len(message.get("body", b""))
        if self._seen > self._max_bytes:
            raise BodyRefused(self.too_large())
        self._hold(self._seen)
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """An answer before the body's end also ends the connection, which reads the rest first."""
        if message["type"] == "http.response.start" and not self._whole:
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await self._send(message)

    def release(self) -> None:
        """The body is in memory no longer."""
        if self._held:
            self._room.give(self._tenant, self._held)

    def too_large(self) -> TooLarge:
        """What is said of a body over its cap."""
        return TooLarge(
            f"The body is larger than {self._max_bytes} bytes (BOXYARD_MAX_BODY_BYTES). "
            "Send pictures by POST /v1/uploads, one each."
            if self._max_bytes > _SMALL
            else f"The body is larger than {self._max_bytes} bytes."
        )

    async def _next(self) -> Message:
        now = time.monotonic()
        self._began = self._began or now
        slowest = self._began + _SLOW_START_S + self._seen / _LEAST_BYTES_A_S
        try:
            async with asyncio.timeout(max(0, min(self._deadline, slowest) - now)):
                return await self._receive()
        except TimeoutError:
            raise BodyRefused(self._too_slow(slowest)) from None

    def _too_slow(self, slowest: float) -> TooSlow:
        if slowest < self._deadline:
            return TooSlow(
                f"The body comes too slowly: {self._seen} bytes in "
                f"{slowest - self._began:.0f} s. Send at least {_LEAST_BYTES_A_S} bytes a second."
            )
        return TooSlow(
            f"The body was not here after {self._timeout_s:g} s "
            "(BOXYARD_BODY_TIMEOUT_S). Send fewer pictures at once."
        )

    def _hold(self, size: int) -> None:
        more = size - _SMALL - self._held
        if more <= 0:
            return
        # Strangers' bodies are not read: whoever sends so much has been let in before.
        key: ApiKey = self._scope["state"]["key"]
        self._tenant = key.tenant
        try:
            self._room.take(self._tenant, more)
        except BoxyardError as error:
            raise BodyRefused(error) from error
        self._held += more
