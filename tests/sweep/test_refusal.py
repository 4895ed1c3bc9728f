"""A loop does not begin on a Redis that would lose jobs, or that it cannot reach rightly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from boxyard_ledger import EmbeddedRedis


def begin(loop: str, url: str) -> str:
    """What a loop says that must end by itself."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("boxyard-worker"), loop],
        env={
            **os.environ,
            "BOXYARD_REDIS_URL": url,
            "BOXYARD_REDIS_TIMEOUT_S": "3",
            "BOXYARD_BLOB_URL": "file:///tmp/none",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stderr


@pytest.mark.parametrize("loop", ["deliver", "sweep"])
def test_a_loop_refuses_a_redis_that_evicts_or_speaks_another_way(
    tmp_path: Path, loop: str
) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as admin:
        assert "write redis://" in begin(loop, server.url.replace("redis://", "rediss://"))
        admin.config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in begin(loop, server.url)
        admin.config_set("requirepass", "secret")
        assert "password" in begin(loop, server.url)
