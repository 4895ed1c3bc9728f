from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest
import redis

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from boxyard_ledger.breaker import Breaker
from boxyard_schemas.errors import Unavailable
from process import await_true

TIMEOUT_S = 1.5


@pytest.fixture
def impatient(own_redis: EmbeddedRedis, tmp_path: Path) -> Iterator[Ledger]:
    settings = LedgerSettings(
        redis_url=own_redis.url, blob_url=tmp_path.as_uri(), redis_timeout_s=TIMEOUT_S
    )
    with Ledger.open(settings) as ledger:
        yield ledger


def _refused(ledger: Ledger) -> float:
    """Seconds until the ledger says that Redis is away."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as refusal:
        ledger.api_keys.authenticate("key")
    assert refusal.value.data["retry_after_s"] >= 1
    return time.monotonic() - began


def _stop(server: EmbeddedRedis) -> None:
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)


def test_after_the_first_command_that_redis_leaves_unanswered_nobody_waits(
    own_redis: EmbeddedRedis, impatient: Ledger
) -> None:
    _await_answer(impatient)
    _stop(own_redis)
    assert _refused(impatient) >= TIMEOUT_S * 0.9
    assert median(_refused(impatient) for _ in range(50)) < TIMEOUT_S / 10


def test_a_look_at_the_server_waits_no_longer_than_a_command(
    own_redis: EmbeddedRedis, impatient: Ledger
) -> None:
    _stop(own_redis)
    _refused(impatient)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        impatient.check_server()
    assert time.monotonic() - began < 2 * TIMEOUT_S, "it looked for faults on the way"


def test_the_first_answer_lets_everybody_in_again(
    own_redis: EmbeddedRedis, impatient: Ledger
) -> None:
    _stop(own_redis)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: _refused(impatient), range(16)))
    assert own_redis.pid
    os.kill(own_redis.pid, signal.SIGCONT)
    _await_answer(impatient)


def test_a_redis_that_died_while_it_stalled_is_used_again_when_it_is_back(
    own_redis: EmbeddedRedis, impatient: Ledger
) -> None:
    _stop(own_redis)
    _refused(impatient)
    own_redis.kill()
    _refused(impatient)
    own_redis.start()
    _await_answer(impatient)


def test_a_look_that_stumbles_over_a_closed_connection_keeps_nobody_out() -> None:
    def ping() -> None:
        raise AttributeError("'NoneType' object has no attribute 'readline'")  # as redis-py's

    breaker = Breaker(ping)
    with pytest.raises(redis.TimeoutError), breaker.watched():
        raise redis.TimeoutError
    await_true(lambda: not breaker.stalled, "its end")


def _await_answer(ledger: Ledger) -> None:
    def answered() -> bool:
        try:
            return ledger.api_keys.authenticate("key") is None
        except Unavailable:
            return False

    await_true(answered, "an answer")
