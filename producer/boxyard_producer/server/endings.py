"""Waiting for jobs to end without holding a thread for each."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Self

import structlog
from starlette.concurrency import run_in_threadpool

from boxyard_ledger import JobStatus, Ledger
from boxyard_schemas.errors import Unavailable

_log = structlog.get_logger(__name__)

_LISTEN_S = 0.5


class Endings:
    """One subscription to the ends of all jobs, shared by everybody who waits.

    Use it as an asynchronous context: it listens on a thread of its own meanwhile.

    Args:
        ledger: whose jobs they are.
        look_again_s: news is lost while Redis is away, so whoever waits also looks so often.
    """

    def __init__(self, ledger: Ledger, *, look_again_s: float = 2.0) -> None:
        self._ledger, self._look_again_s = ledger, look_again_s
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self._closing = Event()

    async def wait(self, tenant: str, job_id: str, seconds: float) -> JobStatus:
        """How the job stands once it has ended, or after so many seconds.

        Raises:
            UnknownJob: this tenant has no such job.
        """
        deadline = time.monotonic() + seconds
        with self._news_of(tenant, job_id) as news:
            while True:
                news.clear()  # before the look: what happens after it sets it again
                status = await run_in_threadpool(self._ledger.jobs.get, tenant, job_id)
                left_s = deadline - time.monotonic()
                if status.state.terminal or left_s <= 0 or self._closing.is_set():
                    return status
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), min(left_s, self._look_again_s))

    def release(self) -> None:
        """Lets everybody go who waits: the server is about to stop."""
        self._closing.set()
        for listeners in self._waiting.values():
            for news in listeners:
                news.set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._listen, args=(loop,), name="endings", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await run_in_threadpool(self._thread.join)

    @contextmanager
    def _news_of(self, tenant: str, job_id: str) -> Iterator[asyncio.Event]:
        news, name = asyncio.Event(), (tenant, job_id)
        self._waiting[name].add(news)
        try:
            yield news
        finally:
            self._waiting[name].discard(news)
            if not self._waiting[name]:
                del self._waiting[name]

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing.is_set():
            try:
                self._listen_once(loop)
            except Unavailable as error:
                _log.warning("endings.deaf", detail=error.detail)
            except Exception:
                # Without this thread every wait would go on by looking alone, for ever.
                _log.exception("endings.failed")
            self._closing.wait(_LISTEN_S)

    def _listen_once(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._ledger.jobs.subscribe() as feed:
            while not self._closing.is_set():
                if ended := feed.next(timeout=_LISTEN_S):
                    loop.call_soon_threadsafe(self._tell, ended)

    def _tell(self, ended: tuple[str, str]) -> None:
        for news in self._waiting.get(ended, ()):
            news.set()
