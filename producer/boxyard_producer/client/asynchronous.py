"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

import httpx

from boxyard_schemas import Job, JobDelivery, JobState

from .address import Address
from .calls import Calls
from .exchange import AsyncExchange
from .retries import Retries


class AsyncClient(Calls):
    """Calls a Boxyard server from an event loop.

    Args:
        url: of the server; `BOXYARD_URL`, else this machine's port 8000.
        api_key: `BOXYARD_API_KEY` by default.
        timeout_s: for each answer, beyond the time that the server is asked to wait.
        retries: what is sent again, when, and for how long.
        transport: of httpx, in place of the network.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = Address.find(url, api_key)
        exchange = AsyncExchange(self.address, timeout_s, transport)
        super().__init__(exchange, retries or Retries())
        self._http = exchange.http

    async def jobs(self, state: JobState | None = None) -> AsyncIterator[Job]:
        """This tenant's jobs, newest first, read page by page."""
        cursor: str | None = None
        while True:
            page = await self.page(state, cursor)
            for job in page.jobs:
                yield job
            if (cursor := page.next_cursor) is None:
                return

    async def exhausted(self) -> AsyncIterator[JobDelivery]:
        """This tenant's deliveries that were given up, newest first, read page by page."""
        cursor: str | None = None
        while True:
            page = await self.exhausted_page(cursor)
            for delivery in page.deliveries:
                yield delivery
            if (cursor := page.next_cursor) is None:
                return

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
