"""`/docs`: the contract as a page to read and try, without the internet; `/` leads there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from importlib.resources import files
from mimetypes import guess_type

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

_ASSETS = ("favicon.png", "swagger-ui.css", "swagger-ui-bundle.js")
_PIECE = 64 * 2**10
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Addresses are relative, so that the page also works below a path of a reverse proxy.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Boxyard API</title>
<link rel="icon" href="docs/assets/favicon.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The contract itself: <a href="openapi.json">openapi.json</a>
</noscript>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""


def install_docs(app: FastAPI) -> None:
    """Adds the page, Swagger UI's files and the way from `/`; none of them needs a key."""

    @app.get("/", include_in_schema=False)
    async def lead_to_docs() -> Response:
        return RedirectResponse("docs")

    @app.get("/docs", include_in_schema=False)
    async def read_docs() -> Response:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def read_start() -> Response:
        return Response(_START, media_type="text/javascript")

    for name in _ASSETS:
        app.add_route(f"/docs/assets/{name}", _Asset(name).read, include_in_schema=False)


class _Asset:
    """A file of Swagger UI, in memory: reading it for each caller would take a thread."""

    def __init__(self, name: str) -> None:
        self._content = (files("fastapi_offline") / "static" / name).read_bytes()
        self._type, _ = guess_type(name)
        self._headers = {
            "Content-Length": str(len(self._content)),
            "ETag": f'"{hashlib.sha256(self._content).hexdigest()}"',
        }

    async def read(self, request: Request) -> Response:
        etag = self._headers["ETag"]
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
        return StreamingResponse(self._pieces(), headers=self._headers, media_type=self._type)

    async def _pieces(self) -> AsyncIterator[bytes]:
        # The next piece is asked for when the client has read on: a whole file for each client that
        # does not would fill the memory.
        for start in range(0, len(self._content), _PIECE):
            yield self._content[start : start + _PIECE]
