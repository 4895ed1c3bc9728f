"""Threads for work that waits for the blob store, so that a slow one delays nothing else."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from boxyard_schemas.errors import Unavailable

from .turns import Turns

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

_THREADS = 32
_PATIENCE_S = 30.0
_LINGER_S = 5.0
_LEAST_S = 1.0
"""Also for what comes when those who lingered have gone: a store that is well takes less."""
_RETRY_AFTER_S = 10


class BlobLane:
    """Threads of its own for what touches blobs; one tenant uses at most half of them at once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")
        self._turns = Turns(_THREADS // 2)
        self._limits = set[asyncio.Timeout]()
        self._end = math.inf  # by the event loop's clock

    async def run(
        self,
        tenant: str,
        work: Callable[Parameters, Answer],
        *args: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Answer:
        """What the work returns or raises.

        Raises:
            Unavailable: it is not done in time. What was begun may still come to its end: a job
                is then found by its idempotency key, an upload that nobody knows is swept.
        """
        now = asyncio.get_running_loop().time()
        end = max(min(self._end, now + _PATIENCE_S), now + _LEAST_S)
        try:
            async with asyncio.timeout_at(end) as limit:
                self._limits.add(limit)
                try:
                    async with self._turns.of(tenant):
                        return await self._begin(work, *args, **options)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            raise Unavailable(
                "The blob store takes too long.", retry_after_s=_RETRY_AFTER_S
            ) from None

    def release(self) -> None:
        """Lets everybody go a little later, who waits and who still comes: the server stops."""
        self._end = asyncio.get_running_loop().time() + _LINGER_S
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(min(self._end, limit.when() or self._end))

    def close(self) -> None:
        """Begins nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(
        self,
        work: Callable[Parameters, Answer],
        *args: Parameters.args,
        **options: Parameters.kwargs,
    ) -> asyncio.Future[Answer]:
        context = copy_context()  # what the request's log lines say
        return asyncio.wrap_future(
            self._threads.submit(lambda: context.run(work, *args, **options))
        )
