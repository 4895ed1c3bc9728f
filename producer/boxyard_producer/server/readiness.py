"""Whether Redis and the blob store can take work, checked once for all who ask."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from boxyard_ledger import Ledger
from boxyard_schemas.errors import SetupError, Unavailable

from .bootstrap import Bootstrap

_PATIENCE_S = 30.0
_GOOD_S = 1.0
"""How long an outcome is good for. `/readyz` needs no key: it must not make work for each call."""


class Readiness:
    """One check at a time, on a thread of its own: busy tenants do not delay it."""

    def __init__(self, ledger: Ledger, bootstrap: Bootstrap) -> None:
        self._ledger, self._bootstrap = ledger, bootstrap
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._check: asyncio.Future[None] | None = None
        self._good_until = 0.0

    async def check(self) -> None:
        """Returns when work can be taken.

        Raises:
            Unavailable: it cannot, and why.
        """
        loop = asyncio.get_running_loop()
        if self._check is None or (self._check.done() and loop.time() >= self._good_until):
            self._check = loop.run_in_executor(self._thread, self._look)
            self._check.add_done_callback(self._note)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.shield(self._check)
        except TimeoutError:
            raise Unavailable("Redis or the blob store takes too long.", retry_after_s=10) from None

    def close(self) -> None:
        """Begins no other check."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        try:
            self._ledger.check_server()
        except SetupError as error:
            raise Unavailable(error.detail, retry_after_s=30) from error
        self._bootstrap.check()
        self._ledger.blobs.check()

    def _note(self, check: asyncio.Future[None]) -> None:
        self._good_until = asyncio.get_running_loop().time() + _GOOD_S
        if not check.cancelled():
            check.exception()  # whoever asked has it; nobody may
