"""The consumer of wake-ups reads and writes nothing in Redis but the list of its queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kombu
import pytest
import redis

from boxyard_ledger import Ledger
from boxyard_schemas import DEMO_MODEL, DETECT_TASK, detect_queue
from boxyard_worker.detect.transport import bell_transport

QUEUE = detect_queue(DEMO_MODEL)
NOT_A_LIST = ("SET {} x", "HSET {} a b", "SADD {} x", "ZADD {} 1 x", "XADD {} * a b")
KEYS_OF_KOMBU = (
    *(f"_kombu.binding.{QUEUE}", f"_kombu.binding_permanent.{QUEUE}", "_kombu.binding_deadlines"),
    *("unacked", "unacked_index", "unacked_mutex"),
)


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@contextmanager
def consuming(redis_url: str) -> Iterator[Callable[[], list[str]]]:
    """Reads until something was read, as Celery does; what it was."""
    found: list[str] = []
    queue = kombu.Queue(QUEUE, kombu.Exchange(QUEUE), routing_key=QUEUE)
    with (
        kombu.Connection(
            redis_url,
            transport=bell_transport("redis", DEMO_MODEL),
            transport_options={"priority_steps": [0]},
        ) as connection,
        connection.Consumer(
            queue, on_message=lambda message: found.append(message.headers["task"]), no_ack=True
        ),
    ):
        for channel in connection.transport.channels:
            channel.qos.restore_visible()

        def read() -> list[str]:
            connection.drain_events(timeout=10)
            return found

        yield read


@pytest.mark.parametrize("make", NOT_A_LIST)
def test_a_queue_that_is_no_list_is_quarantined_and_the_next_wake_up_is_read(
    ledger: Ledger, raw: redis.Redis, redis_url: str, make: str
):
    raw.execute_command(*make.format(QUEUE).split())
    with consuming(redis_url) as read:
        assert read() == []
        (entry,) = ledger.quarantine.all()
        assert (entry.reason, entry.source) == ("wrong-type", QUEUE)
        assert not raw.exists(QUEUE)
        ledger.bells._send(DEMO_MODEL)
        assert read() == [DETECT_TASK]
    assert not ledger.quarantine.restore(entry)
    assert ledger.quarantine.delete(entry)


@pytest.mark.parametrize("make", NOT_A_LIST)
def test_no_key_of_kombus_matters_to_those_who_send_or_read_wake_ups(
    ledger: Ledger, raw: redis.Redis, redis_url: str, make: str
):
    for key in KEYS_OF_KOMBU:
        raw.execute_command(*make.format(key).split())
    before = {key: raw.dump(key) for key in KEYS_OF_KOMBU}
    with consuming(redis_url) as read:
        ledger.bells._send(DEMO_MODEL)
        assert read() == [DETECT_TASK]
    assert {key: raw.dump(key) for key in KEYS_OF_KOMBU} == before
    assert ledger.quarantine.count() == 0


def test_a_wake_up_leaves_no_key_behind(ledger: Ledger, raw: redis.Redis, redis_url: str):
    with consuming(redis_url) as read:
        ledger.bells._send(DEMO_MODEL)
        assert read() == [DETECT_TASK]
    assert raw.keys("*") == []
