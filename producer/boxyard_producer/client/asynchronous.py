"""The client for asyncio."""

from __future__ import annotations

from typing import Self

import httpx

from .address import Address
from .bulk import BulkCalls
from .exchange import AsyncExchange
from .retries import Retries


class AsyncClient(BulkCalls):
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
