"""Each way to deduplicate keeps the same promise, also when its consumer dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
import redis

from boxyard_ledger import EmbeddedRedis
from boxyard_producer.webhooks import (
    Deduplication,
    EventInProgress,
    MemoryDeduplication,
    RedisDeduplication,
)
from in_sql import SqlDeduplication, open_database
from process import await_true

EXAMPLES = Path(__file__).parents[2] / "examples" / "consumers"
Make = Callable[[], Deduplication]


@pytest.fixture
def client(embedded_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(embedded_redis.url) as connected:
        connected.flushall()
        yield connected


@pytest.fixture(params=["memory", "redis", "sql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes what one thread of a consumer holds; all of them share what they remember."""
    if request.param == "sql":
        opened = [open_database(tmp_path / "seen", patience_s=0) for _ in range(2)]
        free = iter(opened)
        yield lambda: SqlDeduplication(next(free))
        for each in opened:
            each.close()
        return
    kept: Deduplication = MemoryDeduplication()
    if request.param == "redis":
        kept = RedisDeduplication(request.getfixturevalue("client"))
    yield lambda: kept


def test_the_first_acts_and_the_others_do_not(make: Make) -> None:
    seen = make()
    for expected in (True, False, False):
        with seen.once("dlv_1") as first:
            assert first is expected
    with seen.once("dlv_2") as first:
        assert first


def test_while_one_acts_another_is_sent_away(make: Make) -> None:
    one, other = make(), make()
    with one.once("dlv_1") as first:
        assert first
        with pytest.raises(EventInProgress) as caught, other.once("dlv_1"):
            pass
        assert caught.value.status == 409
    with other.once("dlv_1") as first:
        assert not first


def test_who_fails_leaves_the_event_to_the_next(make: Make) -> None:
    seen = make()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="disk"), seen.once("dlv_1"):
            raise RuntimeError("disk full")
    with seen.once("dlv_1") as first:
        assert first
    with pytest.raises(RuntimeError), seen.once("dlv_1"):
        raise RuntimeError("a duplicate's failure forgets nothing")
    with seen.once("dlv_1") as first:
        assert not first


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_of_many_threads_one_acts(kind: str, client: redis.Redis) -> None:
    seen: Deduplication = RedisDeduplication(client) if kind == "redis" else MemoryDeduplication()
    start = Barrier(8)

    def attend(event_id: str) -> bool:
        start.wait()
        try:
            with seen.once(event_id) as first:
                return first
        except EventInProgress:
            return False

    with ThreadPoolExecutor(8) as threads:
        for number in range(50):
            assert sum(threads.map(attend, [f"dlv_{number}"] * 8)) == 1


def test_memory_forgets_the_oldest_and_no_claim() -> None:
    seen = MemoryDeduplication(size=2)

    def first(name: str) -> bool:
        with seen.once(name) as found:
            return found

    with seen.once("claimed"):
        assert [first(name) for name in ("1", "2", "3")] == [True] * 3
        with pytest.raises(EventInProgress):
            first("claimed")
        assert [first(name) for name in ("3", "2", "1")] == [False, False, True]


def test_redis_forgets_claims_after_their_lease_and_ids_after_their_time(
    client: redis.Redis,
) -> None:
    seen = RedisDeduplication(client, "acme:", lease_s=60, keep_s=600)
    with seen.once("dlv_1"):
        assert 0 < client.pttl("acme:dlv_1") <= 60_000
    assert 60_000 < client.pttl("acme:dlv_1") <= 600_000


def test_who_fails_beyond_the_lease_does_not_give_back_the_claim_of_another(
    client: redis.Redis,
) -> None:
    seen = RedisDeduplication(client)
    late = seen.once("dlv_1")
    assert late.__enter__()
    client.delete("boxyard:seen:dlv_1")  # as the end of the lease does
    with seen.once("dlv_1") as first:
        assert first
        assert not late.__exit__(RuntimeError, RuntimeError(), None)
        with pytest.raises(EventInProgress), seen.once("dlv_1"):
            pass


def dies(code: str) -> None:
    """A consumer that gets killed inside `once`."""
    program = f"{code}\nwith seen.once('dlv_1') as first:\n    assert first\n"
    program += "    import os; os.kill(os.getpid(), 9)\n"
    path = os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == -9


def test_when_a_consumer_dies_between_claim_and_act_the_lease_ends_and_another_acts(
    client: redis.Redis, embedded_redis: EmbeddedRedis
) -> None:
    connect = f"redis.Redis.from_url({embedded_redis.url!r})"
    dies(
        "import redis\nfrom boxyard_producer.webhooks import RedisDeduplication\n"
        f"seen = RedisDeduplication({connect}, lease_s=600)"
    )
    seen = RedisDeduplication(client)
    with pytest.raises(EventInProgress), seen.once("dlv_1"):
        pass
    assert 0 < client.pttl("boxyard:seen:dlv_1") <= 600_000
    client.pexpire("boxyard:seen:dlv_1", 1)  # as if the ten minutes were over
    await_true(lambda: not client.exists("boxyard:seen:dlv_1"), "the end of the claim")
    with seen.once("dlv_1") as first:
        assert first


def test_when_a_consumer_dies_in_its_transaction_id_and_act_are_both_undone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "seen"
    dies(
        "from pathlib import Path\nfrom in_sql import SqlDeduplication, open_database\n"
        f"database = open_database(Path({str(path)!r}))\nseen = SqlDeduplication(database)"
    )
    with closing(open_database(path)) as database, SqlDeduplication(database).once("dlv_1") as new:
        assert new
