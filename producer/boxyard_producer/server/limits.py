"""The cap on request bodies, declared or streamed."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boxyard_schemas.errors import TooLarge

from .problems import answer


class BodyLimit:
    """Middleware that reads no more of a body than `max_bytes`.

    A body that declares more is refused unread; one that declares nothing (chunked) is counted.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared(scope) > self._max_bytes:
            await answer(self._too_large(), scope["path"])(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                # FastAPI lets this kind pass unchanged while it reads a body.
                raise HTTPException(413, self._too_large().detail)
            return message

        return receive_counted

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than {self._max_bytes} bytes (BOXYARD_MAX_BODY_BYTES). "
            "Send pictures by POST /v1/uploads, one each."
        )


def _declared(scope: Scope) -> int:
    found = dict(scope["headers"]).get(b"content-length", b"0")
    return int(found) if found.isdigit() else 0
