"""What all tests share: a Redis of their own and a ledger on it.

Imported inside, because the client's tests also run where nothing but the client is installed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from sweeps import Sample

if TYPE_CHECKING:
    from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings

# For this process and for those that tests start.
os.environ["BOXYARD_SECRET_KEYS"] = "dGVzdHMsIGFuZCBub2JvZHkgZWxzZSwgc2VhbCBieS4="

# What generates inputs fails for what it finds, never for the machine's pace.
hypothesis_settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    chaos = parser.getgroup("chaos", "faults done to a whole stack")
    chaos.addoption("--chaos", choices=("slice", "full"), default="slice", help="How much is done.")
    chaos.addoption("--chaos-results", type=Path, help="Appends what was measured, as JSON lines.")
    sweeps = parser.getgroup("sweeps", "tests of many inputs of one kind")
    sweeps.addoption("--sweeps", choices=("slice", "full"), default="slice", help="How many.")


@pytest.fixture
def sample(pytestconfig: pytest.Config) -> Sample:
    """Takes a slice of a test's inputs; with `--sweeps=full` it takes all of them."""
    return Sample(whole=pytestconfig.getoption("--sweeps") == "full")


@pytest.fixture(scope="session")
def embedded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    from boxyard_ledger import EmbeddedRedis

    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(embedded_redis: EmbeddedRedis) -> str:
    """An empty server; it belongs to this test session alone."""
    import redis

    with redis.Redis.from_url(embedded_redis.url) as client:
        client.flushall()
    return embedded_redis.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, to stop and to kill; one that is stopped goes on in the end."""
    from boxyard_ledger import EmbeddedRedis

    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server
        if server.alive and server.pid:
            os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def ledger_settings(redis_url: str, tmp_path: Path) -> LedgerSettings:
    from boxyard_ledger import LedgerSettings

    return LedgerSettings(redis_url=redis_url, blob_url=(tmp_path / "blobs").as_uri())


@pytest.fixture
def ledger(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    from boxyard_ledger import Ledger

    with Ledger.open(ledger_settings) as opened:
        yield opened
