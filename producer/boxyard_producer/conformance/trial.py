"""Sends the cases one after another and judges the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import httpx
from pydantic import BaseModel, ConfigDict, Field

from boxyard_schemas.errors import SetupError

from .cases import Case

_EFFECT_S = 5.0
"""A consumer may act after its answer."""
_STILL_S = 0.5


class Finding(BaseModel):
    """How a consumer took one case."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    wanted: str
    found: str
    seconds: float = Field(description="Until the answer.")


class Trial:
    """Calls a consumer.

    Args:
        url: where callbacks go.
        limit_s: an answer must be there after so long; the service itself waits 20 s.
        probe: URL whose answer is another one after each act of the consumer, such as a count.
    """

    def __init__(self, url: str, *, limit_s: float = 15, probe: str | None = None) -> None:
        self._url, self._limit_s, self._probe = url, limit_s, probe

    async def run(self, cases: Iterable[Case]) -> AsyncIterator[Finding]:
        """A finding a case, and at last one about the time.

        Raises:
            SetupError: the probe gives no answer.
        """
        slowest = 0.0
        # Its own limit is over all of an exchange; httpx only has limits for a read or a write.
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            for case in cases:
                finding = await self._try(client, case)
                slowest = max(slowest, finding.seconds)
                yield finding
        yield Finding(
            name="every answer in time",
            ok=slowest <= self._limit_s,
            wanted=f"{self._limit_s:g} s",
            found=f"{slowest:.2f} s",
            seconds=slowest,
        )

    async def _try(self, client: httpx.AsyncClient, case: Case) -> Finding:
        before = await self._effects(client)
        began = time.monotonic()
        status, found = await self._post(client, case)
        seconds = time.monotonic() - began
        ok = status is not None and status // 100 == (2 if case.accepted else 4)
        if self._probe and case.acts is not None:
            acted = await self._acts(client, before, case.acts)
            ok = ok and acted is case.acts
            found += ", acted" if acted else ", did not act"
        return Finding(
            name=case.name, ok=ok, wanted=self._wanted(case), found=found, seconds=seconds
        )

    def _wanted(self, case: Case) -> str:
        wanted = "2xx" if case.accepted else "4xx"
        if self._probe and case.acts is not None:
            wanted += ", acts" if case.acts else ", does not act"
        return wanted

    async def _post(self, client: httpx.AsyncClient, case: Case) -> tuple[int | None, str]:
        """Status and words; None when there is no answer."""
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await client.post(self._url, content=case.body, headers=case.headers)
        except TimeoutError:
            return None, f"no answer in {self._limit_s:g} s"
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return None, f"no answer: {error or type(error).__name__}"
        return answer.status_code, str(answer.status_code)

    async def _acts(self, client: httpx.AsyncClient, before: bytes, expected: bool) -> bool:
        """Whether the probe changes: at once, or while there is hope; or never, for a while."""
        end = time.monotonic() + (_EFFECT_S if expected else _STILL_S)
        while await self._effects(client) == before:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _effects(self, client: httpx.AsyncClient) -> bytes:
        if not self._probe:
            return b""
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await client.get(self._probe)
            return answer.raise_for_status().content
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise SetupError(f"The probe {self._probe} gives no answer: {error}") from error
