"""A server that is set up wrongly says so, and does not start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from boxyard_ledger import EmbeddedRedis


def start(**settings: str) -> tuple[int, list[dict[str, str]]]:
    """The exit status, and what was logged."""
    done = subprocess.run(
        [sys.executable, "-m", "boxyard_producer.server", "--port", "0"],
        env={**os.environ, **{f"BOXYARD_{name.upper()}": text for name, text in settings.items()}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def test_a_setting_that_does_not_fit_is_named() -> None:
    status, (said,) = start(max_page="none", redis_url="redis://127.0.0.1:1/0")
    assert status == 1
    assert said["event"] == "server.refused"
    assert said["detail"].startswith("BOXYARD_MAX_PAGE: Input should be a valid integer")


def test_a_blob_store_of_an_unknown_kind_is_named() -> None:
    status, (said,) = start(blob_url="ftp://here/blobs", redis_url="redis://127.0.0.1:1/0")
    assert (status, said["event"]) == (1, "server.refused")
    assert said["detail"].startswith("BOXYARD_BLOB_URL is 'ftp://here/blobs'; it must be")


def test_a_port_for_metrics_that_is_taken_is_named(embedded_redis: EmbeddedRedis) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = start(metrics_port=str(port), redis_url=embedded_redis.url)
    assert status == 1
    assert said[-1]["event"] == "server.refused"
    assert f"BOXYARD_METRICS_PORT: 127.0.0.1:{port}" in said[-1]["detail"]
