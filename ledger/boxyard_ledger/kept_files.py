"""The files of an embedded Redis that runs: written anew where they were removed or cut."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from .append_only import load_order, named_sizes
from .embedded import EmbeddedRedis

_LOOK_S, _RETRY_S, _TIMEOUT_S = 1.0, 10.0, 1.0


class KeptFiles:
    """Compares the files with the last look; the server, which has all data in memory, rewrites.

    It keeps its files open: it would go on to write to a deleted one, and the next start would find
    nothing, or commands without the snapshot that they change.

    Args:
        server: started.
        tell: takes one line for people.
    """

    def __init__(self, server: EmbeddedRedis, tell: Callable[[str], object]) -> None:
        self._server, self._tell = server, tell
        self._data_dir = server.log.parent
        self._pid: int | None = None
        self._sizes: dict[str, int] = {}
        self._whole = True
        self._due = 0.0

    def tend(self) -> None:
        """Looks at the files, once a second at most, while the server runs."""
        if time.monotonic() < self._due or not self._server.alive:
            return
        self._due = time.monotonic() + _LOOK_S
        try:
            whole = self._are_whole()
        except OSError:  # something else is in a file's place, or the disk fails
            whole = False
        if not whole:
            self._due = time.monotonic() + _RETRY_S
            done = self._rewrite()
            if self._whole:
                self._tell(f"files of redis in {self._data_dir} were removed or cut: {done}")
            self._whole = False
        elif not self._whole:
            self._whole = True
            self._tell(f"the files of redis in {self._data_dir} are complete again")

    def _are_whole(self) -> bool:
        before = self._sizes if self._pid == self._server.pid else {}
        order = load_order(self._data_dir)
        sizes = named_sizes(self._data_dir, order)
        if len(sizes) < len(order) and load_order(self._data_dir) != order:
            return True  # a rewrite ended meanwhile
        cut = any(size < before.get(name, 0) for name, size in sizes.items())
        # The largest size: a file that was cut is so until a rewrite replaces it.
        self._sizes = {name: max(size, before.get(name, 0)) for name, size in sizes.items()}
        self._pid = self._server.pid
        return not cut and bool(order) and len(sizes) == len(order)

    def _rewrite(self) -> str:
        if not self._data_dir.exists():
            return "put the folder back before the stack is stopped, or what is in memory is lost"
        try:
            with redis.Redis.from_url(self._server.url, socket_timeout=_TIMEOUT_S) as client:
                client.bgrewriteaof()
        except redis.RedisError as error:
            return f"it cannot write them again ({error}); it is asked again"
        return "it writes them again from its memory"
