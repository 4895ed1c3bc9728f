"""What a file server answers, ranges, versions and cut connections included."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler


class Shelf:
    """Answers requests for one file.

    Args:
        body: the file.
        version: its ETag; "" for none.
        ranges: whether parts of it may be asked for.
        cuts: after how many bytes of its answers the first connections are cut.
    """

    def __init__(
        self,
        body: bytes,
        *,
        version: str = '"one"',
        ranges: bool = True,
        cuts: tuple[int, ...] = (),
    ) -> None:
        self.body, self.version, self._ranges = body, version, ranges
        self._cuts = list(cuts)
        self.sent = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        begin = self._begin(handler)
        if begin is not None and begin >= len(self.body):
            self._begin_answer(handler, 416, f"bytes */{len(self.body)}", 0)
            return
        rest = self.body[begin or 0 :]
        whole = f"bytes {begin}-{len(self.body) - 1}/{len(self.body)}"
        self._begin_answer(
            handler, 200 if begin is None else 206, "" if begin is None else whole, len(rest)
        )
        cut = self._cuts.pop(0) if self._cuts else len(rest)
        self.sent += len(rest[:cut])  # before its last byte is out and somebody asks
        handler.wfile.write(rest[:cut])
        handler.close_connection = cut < len(rest)

    def _begin(self, handler: BaseHTTPRequestHandler) -> int | None:
        asked = re.match(r"bytes=(\d+)-$", handler.headers.get("Range", ""))
        fits = handler.headers.get("If-Range", self.version) == self.version
        return int(asked[1]) if asked and fits and self._ranges else None

    def _begin_answer(
        self, handler: BaseHTTPRequestHandler, status: int, content_range: str, length: int
    ) -> None:
        handler.send_response(status)
        headers = {"ETag": self.version, "Content-Range": content_range}
        for name, value in headers.items():
            if value:
                handler.send_header(name, value)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
