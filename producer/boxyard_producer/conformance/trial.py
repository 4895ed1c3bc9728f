"""Sends the cases one after another and judges the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import httpx
from pydantic import BaseModel, ConfigDict, Field

from boxyard_schemas.errors import SetupError

from .cases import Case
from .judgement import NO_ANSWER, judge

_EFFECT_S = 5.0
"""A consumer may act after its answer."""
_STILL_S = 0.3
"""So long nothing may happen, or twice as long as acting took, where that is more."""

_ACTED = {0: "did not act", 1: "acted"}


class Finding(BaseModel):
    """How a consumer took one case."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    wanted: str
    found: str
    seconds: float = Field(description="Until the answer.")
    advice: str = Field("", description="What to do; empty where all is well.")


class Trial:
    """Calls a consumer.

    Args:
        url: where callbacks go.
        limit_s: an answer must be there after so long; the service itself waits 20 s.
        probe: URL whose answer is another one after each act of the consumer, such as a count. A
            plain number shows two acts at once, too.
    """

    def __init__(self, url: str, *, limit_s: float = 15, probe: str | None = None) -> None:
        self._url, self._limit_s, self._probe = url, limit_s, probe
        self._still_s, self._step = _STILL_S, 1

    async def run(self, cases: Iterable[Case]) -> AsyncIterator[Finding]:
        """A finding a case, and at last one about the time.

        Where the first case gets no answer, that is all: each other one would take as long.

        Raises:
            SetupError: the probe gives no answer.
        """
        slowest, first = 0.0, True
        # Its own limit is over all of an exchange; httpx only has limits for a read or a write.
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            for case in cases:
                finding = await self._try(client, case)
                slowest = max(slowest, finding.seconds)
                yield finding
                if first and finding.advice == NO_ANSWER:
                    break
                first = False
        ok = slowest <= self._limit_s
        yield Finding(
            name="every answer in time",
            ok=ok,
            wanted=f"{self._limit_s:g} s",
            found=f"{slowest:.2f} s",
            seconds=slowest,
            advice="" if ok else "Keep the event, answer, then work on it.",
        )

    async def _try(self, client: httpx.AsyncClient, case: Case) -> Finding:
        before = await self._effects(client)
        began = time.monotonic()
        posts = (self._post(client, case) for _ in range(case.at_once))
        answers = await asyncio.gather(*posts)
        seconds = time.monotonic() - began
        statuses, acts = [status for status, _ in answers], None
        found = " and ".join(words for _, words in answers)
        if self._probe and case.acts is not None:
            taken = any(status is not None and status // 100 == 2 for status in statuses)
            hope_s = _EFFECT_S if case.acts and taken else self._still_s
            acts = await self._count(client, before, case, hope_s)
            found += f", {_ACTED.get(acts, f'acted {acts} times')}"
        elif self._probe:
            await asyncio.sleep(self._still_s)  # or what it does now is taken for the next case's
        advice = judge(case, statuses, acts)
        return Finding(
            name=case.name,
            ok=not advice,
            wanted=self._wanted(case),
            found=found,
            seconds=seconds,
            advice=advice,
        )

    def _wanted(self, case: Case) -> str:
        wanted = "2xx" if case.accepted else "4xx"
        if self._probe and case.acts is not None:
            wanted += ", acts" if case.acts else ", does not act"
        return wanted + (" once" if self._probe and case.at_once > 1 else "")

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

    async def _count(
        self, client: httpx.AsyncClient, before: bytes, case: Case, hope_s: float
    ) -> int:
        """How often it acts: at once, or while there is hope."""
        began, looked_s = time.monotonic(), 0.0
        while (after := await self._effects(client)) == before:
            if looked_s > hope_s:  # when this look began: what a slow one shows may be old
                return 0
            await asyncio.sleep(0.05)
            looked_s = time.monotonic() - began
        if case.at_once == 1:
            if case.acts:  # as late as this one, an act that should not be may come too
                self._still_s = max(self._still_s, 2 * looked_s)
                self._step = _difference(before, after) or 1
            return 1
        await asyncio.sleep(self._still_s)
        after = await self._effects(client)
        return max(1, _difference(before, after) // self._step)

    async def _effects(self, client: httpx.AsyncClient) -> bytes:
        if not self._probe:
            return b""
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await client.get(self._probe)
            return answer.raise_for_status().content
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise SetupError(f"The probe {self._probe} gives no answer: {error}") from error


def _difference(before: bytes, after: bytes) -> int:
    """Of two plain numbers; else nothing."""
    numbers = before.strip(), after.strip()
    return int(numbers[1]) - int(numbers[0]) if all(map(bytes.isdigit, numbers)) else 0
