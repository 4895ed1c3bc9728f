"""Waiting for jobs to end without a thread or a connection to Redis for each."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from threading import Event, Thread
from typing import Self

import structlog
from starlette.concurrency import run_in_threadpool

from boxyard_ledger import JobStatus, Ledger
from boxyard_schemas.errors import Unavailable

from .shares import Shares

_log = structlog.get_logger(__name__)

_LISTEN_S = 0.5


class _Wait:
    """One request that waits for one job."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.is_over = False
        """Whether it is to be answered as things stand."""

    def end(self) -> None:
        """Ends the wait early."""
        self.is_over = True
        self.news.set()


class Endings:
    """One subscription to the ends of all jobs, shared by all requests that wait for one.

    Use it as an asynchronous context: it listens on a thread of its own meanwhile.

    Args:
        ledger: whose jobs they are.
        shares: bounds the long polls.
        look_again_s: messages are lost while Redis is away, so all jobs that are waited for are
            looked up together this often.
    """

    def __init__(self, ledger: Ledger, shares: Shares, *, look_again_s: float = 2.0) -> None:
        self._ledger, self._shares, self._look_again_s = ledger, shares, look_again_s
        self._waiting: defaultdict[tuple[str, str], set[_Wait]] = defaultdict(set)
        self._closing = Event()

    async def wait(
        self, tenant: str, job_id: str, seconds: float, *, polling: bool = False
    ) -> JobStatus:
        """How the job stands once it has ended, or after so many seconds.

        Args:
            tenant: whose job it is.
            job_id: the job.
            seconds: the longest wait.
            polling: whether the caller would ask again: then the wait counts among the tenant's
                long polls, and may end early.

        Raises:
            UnknownJob: this tenant has no such job.
            TooManyRequests: the tenant has its share of the long polls.
        """
        deadline = time.monotonic() + seconds
        with self._registered(tenant, job_id) as wait:
            status = await self._look(tenant, job_id)
            if self._is_settled(status, wait, deadline):
                return status
            with self._shares.waiting(tenant, wait.end) if polling else nullcontext():
                while not self._is_settled(status, wait, deadline):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(wait.news.wait(), deadline - time.monotonic())
                    wait.news.clear()  # before the look: what happens after it sets it again
                    status = await self._look(tenant, job_id)
        return status

    def release(self) -> None:
        """Answers all who wait with how things stand: the server is about to stop."""
        self._closing.set()
        for waits in self._waiting.values():
            for wait in waits:
                wait.end()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._listen, args=(loop,), name="endings", daemon=True)
        self._thread.start()
        self._looking = loop.create_task(self._look_again())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        self._looking.cancel()
        await run_in_threadpool(self._thread.join)

    async def _look(self, tenant: str, job_id: str) -> JobStatus:
        return await self._shares.run(tenant, self._ledger.jobs.get, tenant, job_id)

    def _is_settled(self, status: JobStatus, wait: _Wait, deadline: float) -> bool:
        is_over = wait.is_over or self._closing.is_set() or time.monotonic() >= deadline
        return status.state.terminal or is_over

    @contextmanager
    def _registered(self, tenant: str, job_id: str) -> Iterator[_Wait]:
        wait, name = _Wait(), (tenant, job_id)
        self._waiting[name].add(wait)
        try:
            yield wait
        finally:
            self._waiting[name].discard(wait)
            if not self._waiting[name]:
                del self._waiting[name]

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._look_again_s)
            try:
                ended = await run_in_threadpool(self._ledger.jobs.ended, list(self._waiting))
            except Unavailable:
                continue  # the listening thread has logged it
            except Exception:
                _log.exception("endings.failed")
                continue
            for name in ended:
                self._notify(name)

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
                    loop.call_soon_threadsafe(self._notify, ended)

    def _notify(self, ended: tuple[str, str]) -> None:
        for wait in self._waiting.get(ended, ()):
            wait.news.set()
