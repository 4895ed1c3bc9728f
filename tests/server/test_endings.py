from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import redis

from boxyard_ledger import EmbeddedRedis, JobRecord, Ledger, LedgerSettings
from boxyard_producer.server.endings import Endings
from boxyard_producer.server.shares import Shares
from boxyard_schemas import DEMO_MODEL, JobState, UrlImage, new_id
from boxyard_schemas.words import utc_now

from .conftest import SEEN, Worker, later

NEVER_S = 600.0


def accept(ledger: Ledger) -> JobRecord:
    job = JobRecord(
        id=new_id("job"),
        tenant="a",
        model=DEMO_MODEL,
        images=(UrlImage.model_validate({"url": "https://example.com/1.jpg"}),),
        created_at=utc_now() - timedelta(seconds=1),
    )
    ledger.jobs.accept(job)
    return job


async def test_news_of_the_end_is_enough_without_looking_again(
    ledger: Ledger, worker: Worker
) -> None:
    job = accept(ledger)
    claim = worker.claim()
    async with Endings(ledger, Shares(100), look_again_s=NEVER_S) as endings:
        await _listened_to(ledger.settings.redis_url)
        with later(0.5, lambda: worker.finish(claim, SEEN)):
            status = await asyncio.wait_for(endings.wait("a", job.id, NEVER_S), 60)
    assert status.state is JobState.SUCCEEDED


async def test_looking_again_is_enough_without_news(ledger: Ledger, worker: Worker) -> None:
    job = accept(ledger)
    claim = worker.claim()
    with redis.Redis.from_url(ledger.settings.redis_url) as client:
        rules = ("on", "nopass", "~*", "+@all", "resetchannels")
        client.execute_command("ACL", "SETUSER", "no-channels", *rules)
    url = ledger.settings.redis_url.replace("redis://", "redis://no-channels:x@")
    with Ledger.open(ledger.settings.model_copy(update={"redis_url": url})) as without_news:
        async with Endings(without_news, Shares(100), look_again_s=0.05) as endings:
            with later(0.3, lambda: worker.finish(claim, SEEN)):
                status = await asyncio.wait_for(endings.wait("a", job.id, NEVER_S), 60)
    assert status.state is JobState.SUCCEEDED


async def test_news_comes_again_once_redis_is_back(tmp_path: Path) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis") as server,
        Ledger.open(LedgerSettings(redis_url=server.url, blob_url=tmp_path.as_uri())) as ledger,
    ):
        worker = Worker(ledger, DEMO_MODEL)
        job = accept(ledger)
        claim = worker.claim()
        async with Endings(ledger, Shares(100), look_again_s=NEVER_S) as endings:
            await _listened_to(server.url)
            server.kill()
            server.start()
            await _listened_to(server.url)
            with later(0.5, lambda: worker.finish(claim, SEEN)):
                status = await asyncio.wait_for(endings.wait("a", job.id, NEVER_S), 60)
    assert status.state is JobState.SUCCEEDED


async def _listened_to(redis_url: str) -> None:
    deadline = time.monotonic() + 60
    with redis.Redis.from_url(redis_url) as client:
        while not client.pubsub_channels():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
