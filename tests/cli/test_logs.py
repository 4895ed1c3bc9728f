"""A stack that runs for years does not fill the disk with its logs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from boxyard_ledger import EmbeddedRedis
from boxyard_producer.stack import Service
from boxyard_producer.stack.supervisor import Supervisor

from .conftest import until

TALKER = (
    "import signal\n"
    "signal.signal(signal.SIGUSR1, lambda *_: print('second', flush=True))\n"
    "print('first' * 100, flush=True)\n"
    "while True: signal.pause()"
)


def test_a_log_is_begun_anew_and_its_process_goes_on_with_it(tmp_path: Path):
    log, former = tmp_path / "part.log", tmp_path / "part.log.1"
    part = Service("part", [sys.executable, "-c", TALKER], os.environ, log)
    supervisor = Supervisor([part], None, print, log_bytes=100)
    supervisor.start()
    try:
        until(lambda: "first" in log.read_text())
        supervisor.tend()
        assert (log.read_text(), former.read_text()) == ("", "first" * 100 + "\n")
        assert part.pid
        os.kill(part.pid, signal.SIGUSR1)
        until(lambda: log.read_text() == "second\n")
        supervisor.tend()
        assert (log.read_text(), part.last_words()) == ("second\n", "second")
        assert "first" in former.read_text()
    finally:
        supervisor.stop()


def test_the_log_of_the_embedded_redis_is_kept_short_too(tmp_path: Path):
    with EmbeddedRedis(tmp_path) as server:
        supervisor = Supervisor([], server, print, log_bytes=100)
        said = server.log.read_text()
        supervisor.tend()
        assert (tmp_path / "redis.log.1").read_text().startswith(said)
        assert server.alive


def test_a_disk_without_room_for_the_former_log_gets_the_room_of_both(tmp_path: Path):
    log, former = tmp_path / "part.log", tmp_path / "part.log.1"
    former.mkdir()  # where nothing can be written, as on a full disk
    log.write_text("said " * 100)
    part = Service("part", ["true"], os.environ, log)
    part.shorten_log(100)
    assert log.read_text() == ""
