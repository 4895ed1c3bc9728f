"""A stack that runs for years does not fill the disk with its logs."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

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


WRITER = (
    "import signal, sys\n"
    "def write(*_): print('line ' + 'x' * int(sys.argv[1]), flush=True)\n"
    "signal.signal(signal.SIGUSR1, write)\n"
    "print('first', flush=True)\n"
    "while True: signal.pause()"
)


@contextmanager
def writing(log: Path, line_bytes: int) -> Iterator[tuple[Callable[[], None], Supervisor, Path]]:
    """A service that adds a line when it is asked to, its supervisor, and its open file."""
    log.parent.mkdir(exist_ok=True)
    part = Service("part", [sys.executable, "-c", WRITER, str(line_bytes)], os.environ, log)
    supervisor = Supervisor([part], None, print, log_bytes=1000)
    supervisor.start()
    until(lambda: "first" in log.read_text())
    supervisor.tend()
    opened = Path(f"/proc/{part.pid}/fd/1")

    def write() -> None:
        before = opened.stat().st_size
        assert part.pid
        os.kill(part.pid, signal.SIGUSR1)
        until(lambda: opened.stat().st_size > before)
        supervisor.tend()

    try:
        yield write, supervisor, opened
    finally:
        supervisor.stop()


@pytest.mark.parametrize("removed", ["file", "folder", "replaced"])
def test_a_log_that_was_removed_is_made_again_with_every_line_since(
    tmp_path: Path, removed: str
) -> None:
    log = tmp_path / "logs" / "part.log"
    with writing(log, 10) as (write, supervisor, _):
        if removed == "folder":
            shutil.rmtree(log.parent)
        else:
            log.unlink()
        if removed == "replaced":
            log.touch()
        for lines in (1, 2, 3):
            write()
            supervisor.tend()
            assert log.read_text() == f"line {'x' * 10}\n" * lines
        log.unlink()
        write()
        assert log.read_text() == f"line {'x' * 10}\n"


def test_a_removed_log_has_the_same_bound_and_its_file_is_no_longer_filled(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "part.log"
    with writing(log, 400_000) as (write, _, opened):
        log.unlink()
        for _ in range(9):
            write()
            assert opened.stat().st_size < 1_500_000
            assert log.stat().st_size <= 1000
        assert log.with_name("part.log.1").stat().st_size >= 400_000


def test_a_log_that_was_renamed_keeps_its_contents_within_the_bound(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "part.log"
    saved = log.with_name("saved.log")
    with writing(log, 300) as (write, _, opened):
        log.rename(saved)
        write()
        assert log.read_text() == f"line {'x' * 300}\n"
        assert saved.read_text() == f"first\nline {'x' * 300}\n"
        for _ in range(9):
            write()
        assert opened.stat().st_size <= 1000
        assert saved.with_name("saved.log.1").exists()


def test_the_log_of_a_redis_whose_folder_was_moved_is_not_made_anew(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        supervisor = Supervisor([], server, print)
        supervisor.tend()
        moved = (tmp_path / "redis").rename(tmp_path / "moved")
        supervisor.tend()
        assert not (tmp_path / "redis").exists()
        moved.rename(tmp_path / "redis")
        server.log.unlink()
        with redis.Redis.from_url(server.url) as client:
            client.bgrewriteaof()
        until(
            lambda: (
                supervisor.tend() or (server.log.exists() and "rewrit" in server.log.read_text())
            )
        )


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
    part.tend_log(100)
    assert log.read_text() == ""
