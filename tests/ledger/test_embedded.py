from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from boxyard_ledger import EmbeddedRedis, embedded
from boxyard_ledger.append_only import increments
from boxyard_ledger.cut import cut_at_damage
from boxyard_ledger.redis_password import keep_password
from boxyard_ledger.redis_program import BECOME_SERVER, find_server
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


@pytest.mark.parametrize("change", [None, "", "requirepass\n", f"requirepass {'0' * 48}\n"])
def test_a_restart_keeps_the_password_whatever_became_of_the_configuration(
    tmp_path: Path, change: str | None
) -> None:
    with (
        EmbeddedRedis(tmp_path, guarded=True) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.set("a", "1")
        url, whole = server.url, server.configuration.read_text()
        if change is None:
            server.configuration.unlink()
        else:
            server.configuration.write_text(change)
        server.kill()
        server.start()
        assert server.url == url
        assert client.get("a") == b"1"
        assert server.configuration.read_text() == whole
        if change is not None:
            assert (tmp_path / "redis.conf.damaged").read_text() == change


def test_a_first_start_without_a_configuration_takes_the_password_that_it_was_given(
    tmp_path: Path,
) -> None:
    with EmbeddedRedis(tmp_path, guarded=True, password="ab" * 24) as server:
        assert urlsplit(server.url).password == "ab" * 24
    with EmbeddedRedis(tmp_path, guarded=True, password="cd" * 24) as server:
        assert urlsplit(server.url).password == "ab" * 24  # the configuration's


PASSWORD = "a" * 48


@pytest.mark.parametrize(
    "written",
    [
        b"maxmemory-samples 5\nrequirepass %b\n",
        b"# \xe9\n\n  RequirePass   %b  \nmaxmemory-samples 5",
        b"requirepass %b",
        b"requirepass %b\r\nmaxmemory-samples 5\r\n",
        b'requirepass "%b"\nmaxmemory-samples 5\n',
        b"requirepass 'other'\nrequirepass '%b'\n",
    ],
)
def test_a_configuration_with_lines_of_an_operator_is_left_as_it_is(
    tmp_path: Path, written: bytes
) -> None:
    configuration = tmp_path / "redis.conf"
    configuration.write_bytes(content := written % PASSWORD.encode())
    assert keep_password(configuration) == PASSWORD
    assert configuration.read_bytes() == content


@pytest.mark.parametrize(
    ("damaged", "kept"),
    [
        (b"\xef\xbb\xbfrequirepass %b\n", b"requirepass %b\n"),
        (b"requirepass %b\n\0\0\0\nhz 20", b"requirepass %b\nhz 20\n"),
        (b"requirepass %b\nrequirepass\n# end\n", b"requirepass %b\n# end\n"),
    ],
)
def test_a_damaged_configuration_keeps_its_password(
    tmp_path: Path, damaged: bytes, kept: bytes
) -> None:
    configuration = tmp_path / "redis.conf"
    configuration.write_bytes(damaged % PASSWORD.encode())
    assert keep_password(configuration) == PASSWORD
    assert configuration.read_bytes() == kept % PASSWORD.encode()


def test_a_configuration_without_a_password_keeps_its_other_lines(tmp_path: Path) -> None:
    configuration = tmp_path / "redis.conf"
    configuration.write_text("hz 20\nrequirepass ''\nmaxmemory-samples 7")
    password = keep_password(configuration)
    assert configuration.read_text() == f"hz 20\nmaxmemory-samples 7\nrequirepass {password}\n"
    assert configuration.stat().st_mode & 0o077 == 0


def test_a_configuration_that_redis_wrote_anew_keeps_its_password(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, guarded=True) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.config_set("hz", 20)
            client.config_rewrite()
        server.kill()
        server.start()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.config_get("hz")["hz"] == "20"


def test_a_password_of_an_operator_may_have_any_signs(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text("requirepass p@ss/w:rd%20#1\n")
    with (
        EmbeddedRedis(tmp_path, guarded=True) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.ping()


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").mkdir()
    with pytest.raises(SetupError, match=r"redis\.conf cannot be read: Is a directory"):
        EmbeddedRedis(tmp_path, guarded=True).start()


def test_closing_it_twice_is_no_error(tmp_path: Path):
    server = EmbeddedRedis(tmp_path)
    server.start()
    server.close()
    server.close()
    assert server.pid is None
    assert os.path.exists(tmp_path / "appendonlydir")


def fill(server: EmbeddedRedis, keys: int) -> None:
    with redis.Redis.from_url(server.url) as client:
        for number in range(keys):
            client.set(f"key-{number:05}", "v" * 100)


def count(server: EmbeddedRedis) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.dbsize())


def test_a_start_that_loads_a_large_file_is_waited_for_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedRedis(tmp_path, guarded=True) as server:
        fill(server, 1500)
        with redis.Redis.from_url(server.url) as client:
            client.bgrewriteaof()
            await_true(lambda: not client.info()["aof_rewrite_in_progress"], "the rewrite")
        configuration = server.configuration
    # Microseconds for each key, with a look at clients in between: as a file a thousand times
    # larger.
    slow = "key-load-delay 2000\nloading-process-events-interval-bytes 1024\n"
    configuration.write_text(configuration.read_text() + slow)
    monkeypatch.setattr(embedded, "_START_S", 1.0)
    monkeypatch.setattr(embedded, "_REPORT_S", 0.2)
    told: list[str] = []
    with EmbeddedRedis(tmp_path, guarded=True, tell=told.append) as server:
        assert count(server) == 1500
    assert any("redis loads its file: " in line for line in told), told


def test_a_start_without_progress_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_START_S", 0.3)
    monkeypatch.setattr(embedded, "find_server", lambda: "/bin/sleep")
    monkeypatch.setattr(EmbeddedRedis, "_options", lambda self: ["600"])
    server = EmbeddedRedis(tmp_path)
    with pytest.raises(SetupError, match="did not come up"):
        server.start()
    assert not server.alive


def test_a_wait_for_a_start_ends_when_the_stack_stops(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, guarded=True) as server:
        fill(server, 500)
        configuration = server.configuration
    configuration.write_text(configuration.read_text() + "key-load-delay 100000\n")
    server = EmbeddedRedis(tmp_path, guarded=True, give_up=lambda: True)
    server.start()
    assert server.alive
    server.kill()


def test_a_server_whose_parent_died_before_it_began_does_not_begin(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", BECOME_SERVER, "1", str(tmp_path / "lock")]
    done = subprocess.run(
        [*command, find_server()], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "the parent ended" in done.stderr


def test_a_parent_that_is_killed_at_any_moment_of_a_start_leaves_no_server(tmp_path: Path) -> None:
    for pause_ms in (0, 5, 15, 30, 60):
        with subprocess.Popen(
            [sys.executable, "-c", _PARENT.replace("server.start()", _SAY_AND_START), tmp_path],
            stdout=subprocess.PIPE,
            text=True,
        ) as parent:
            assert parent.stdout
            assert parent.stdout.readline() == "starts\n"
            threading.Event().wait(pause_ms / 1000)  # the moment of the kill is what varies
            parent.send_signal(signal.SIGKILL)
        await_true(lambda: not _servers_in(tmp_path), "the end of what was started")


_SAY_AND_START = "print('starts', flush=True); server.start()"


def _servers_in(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return [pid for pid in found if pid != os.getpid() and not _has_ended(pid)]


def test_a_server_begins_only_when_the_one_before_has_left_its_folder(tmp_path: Path) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    first.start()
    fill(first, 10)
    starting = threading.Thread(target=second.start)
    starting.start()
    await_true(lambda: "still uses this folder" in second.log.read_text(), "the second's wait")
    fill(first, 20)
    first.close()
    starting.join(60)
    assert count(second) == 20
    second.close()


def test_a_file_that_was_cut_by_a_crash_is_reported_with_what_was_dropped(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        fill(server, 100)
    (name,) = increments(tmp_path)
    path = tmp_path / "appendonlydir" / name
    whole = path.read_bytes()
    dropped = len(whole) - 37 - whole.rindex(b"*3\r\n")
    os.truncate(path, len(whole) - 37)
    told: list[str] = []
    with EmbeddedRedis(tmp_path, tell=told.append) as server:
        assert count(server) == 99
    (line,) = told
    assert f"{name} ended in the middle of a write" in line
    assert f"last {dropped} bytes were dropped" in line


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_named_and_can_be_cut_at_the_damage(tmp_path: Path, share: float) -> None:
    with EmbeddedRedis(tmp_path) as server:
        fill(server, 100)
    (name,) = increments(tmp_path)
    path = tmp_path / "appendonlydir" / name
    whole = path.read_bytes()
    start = whole.index(b"*3\r\n", int(len(whole) * share))
    kept = whole[:start].count(b"key-")
    path.write_bytes(whole[:start] + b"XXXX" + whole[start + 4 :])
    with pytest.raises(SetupError, match=r"damaged before its end.*--cut-damaged-file"):
        EmbeddedRedis(tmp_path).start()
    assert "bytes were dropped" in cut_at_damage(tmp_path, name)
    assert path.with_name(f"{name}.damaged").stat().st_size == len(whole)
    with EmbeddedRedis(tmp_path) as server:
        assert count(server) == kept
    with pytest.raises(SetupError, match="is not damaged"):
        cut_at_damage(tmp_path, name)


def test_a_cut_leaves_no_half_of_a_transaction(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("before", "1")
        with client.pipeline(transaction=True) as steps:
            steps.set("one", "1").set("two", "2").execute()
    (name,) = increments(tmp_path)
    path = tmp_path / "appendonlydir" / name
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"$3\r\ntwo", b"$9\r\ntwo"))
    cut_at_damage(tmp_path, name)
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.keys() == [b"before"]
