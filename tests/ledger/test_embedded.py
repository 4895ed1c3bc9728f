from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from boxyard_ledger import EmbeddedRedis
from boxyard_schemas.errors import SetupError
from process import await_true

_PARENT = """
import pathlib, sys, time
from boxyard_ledger import EmbeddedRedis
server = EmbeddedRedis(pathlib.Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def test_it_keeps_its_address_and_its_data_over_a_crash(tmp_path: Path):
    with EmbeddedRedis(tmp_path) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("a", "1")
        server.kill()
        assert not server.alive
        server.start()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("a") == b"1"


def test_while_it_is_down_its_port_is_nobody_elses(tmp_path: Path):
    with EmbeddedRedis(tmp_path) as server:
        server.kill()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", urlsplit(server.url).port))
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()


def test_it_ends_with_its_parent(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    await_true(lambda: _has_ended(server), "the server's end")


def _has_ended(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_when_it_does_not_come_up_its_log_says_why(tmp_path: Path):
    (tmp_path / "appendonlydir").write_text("a file where a folder should be")
    with pytest.raises(SetupError, match="appendonlydir"):
        EmbeddedRedis(tmp_path).start()


def test_a_guarded_one_asks_for_a_password_that_its_owner_alone_can_read(tmp_path: Path):
    with EmbeddedRedis(tmp_path, guarded=True) as server, redis.Redis.from_url(server.url) as own:
        url, port = server.url, urlsplit(server.url).port
        own.set("a", "1")
        password = str(urlsplit(url).password)
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("a")
        shown = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert password.encode() not in shown
        (kept,) = [path for path in tmp_path.rglob("*.conf") if password in path.read_text()]
        assert kept.stat().st_mode & 0o077 == 0
        server.kill()
        server.start()
        assert server.url == url
        assert own.get("a") == b"1"


@pytest.mark.parametrize("damaged", ["", "requirepass", "\n\n", "requirepass abc\n", "\0\0"])
def test_a_guarded_one_starts_with_its_data_though_its_configuration_is_damaged(
    tmp_path: Path, damaged: str
) -> None:
    with EmbeddedRedis(tmp_path, guarded=True) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "1")
        configuration = server.configuration
    configuration.write_text(damaged)
    with EmbeddedRedis(tmp_path, guarded=True) as server:
        assert urlsplit(server.url).password
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == b"1"


def test_closing_it_twice_is_no_error(tmp_path: Path):
    server = EmbeddedRedis(tmp_path)
    server.start()
    server.close()
    server.close()
    assert server.pid is None
    assert os.path.exists(tmp_path / "appendonlydir")
