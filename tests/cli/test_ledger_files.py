"""The embedded Redis of a stack: its ledger is there, or the start says that it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from boxyard_ledger import EmbeddedRedis
from boxyard_producer.stack import Credentials, Stack, StackSettings
from boxyard_producer.stack.embedded import confirm_ledger, open_redis
from boxyard_schemas.errors import SetupError

URL = "http://127.0.0.1:1"


@contextmanager
def opened(
    settings: StackSettings, told: list[str], *, expects_data: bool = True
) -> Iterator[EmbeddedRedis]:
    server = open_redis(settings, told.append, lambda: False, expects_data=expects_data)
    assert server
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def begin(data: Path) -> str:
    """A stack's ledger with a key `a` in it; its id."""
    with opened(StackSettings(data=data), [], expects_data=False) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "1")
        return confirm_ledger(server, None, print, expected=False)


def test_the_ledger_of_the_last_start_is_recognised(data: Path) -> None:
    known, told = begin(data), list[str]()
    with opened(StackSettings(data=data), told) as server:
        assert confirm_ledger(server, known, told.append, expected=True) == known
    assert not told


def test_a_redis_without_its_ledger_is_refused(data: Path) -> None:
    known = begin(data)
    with opened(StackSettings(data=data), []) as server:
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        with pytest.raises(SetupError, match=r"holds no ledger, though .*--new-ledger"):
            confirm_ledger(server, known, print, expected=True)


def test_another_ledger_is_reported_and_taken(data: Path) -> None:
    known, told = begin(data), list[str]()
    with opened(StackSettings(data=data), told) as server:
        found = confirm_ledger(server, "ledger_of_before", told.append, expected=True)
    assert found == known
    assert "holds another ledger than at the last start" in told[-1]


def test_a_new_ledger_begins_empty_and_the_files_of_the_former_are_kept(data: Path) -> None:
    known, told = begin(data), list[str]()
    settings = StackSettings(data=data, new_ledger=True)
    with opened(settings, told, expects_data=False) as server:
        assert confirm_ledger(server, known, told.append, expected=False) != known
    (line,) = told
    former = data / "redis" / "appendonlydir.former"
    assert str(former) in line
    shutil.rmtree(data / "redis" / "appendonlydir")
    former.rename(data / "redis" / "appendonlydir")
    with opened(StackSettings(data=data), []) as server:
        assert confirm_ledger(server, known, print, expected=True) == known


@pytest.mark.parametrize("missing", [False, True])
def test_a_damaged_increment_is_cut_only_when_that_is_asked_for(data: Path, missing: bool) -> None:
    begin(data)
    (increment,) = (data / "redis" / "appendonlydir").glob("*.incr.aof")
    if missing:
        increment.unlink()
    else:
        increment.write_bytes(increment.read_bytes() + b"damage" * 10 + b"\r\n")
    with (
        pytest.raises(SetupError, match="--cut-damaged-file"),
        opened(StackSettings(data=data), []),
    ):
        pass
    told = list[str]()
    with (
        opened(StackSettings(data=data, cut_damaged_file=True), told) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.exists("a") == (not missing)
    assert increment.name in told[0]
    told.clear()
    with opened(StackSettings(data=data, cut_damaged_file=True), told):
        assert told == ["no file of redis is damaged: nothing was cut"]


def remember_the_ledger(data: Path) -> None:
    Credentials.create(URL).model_copy(update={"ledger": "ledger_a"}).write(data)


def keep_the_environment(data: Path) -> None:
    credentials = Credentials.create(URL)
    url = f"redis://:{'0' * 48}@127.0.0.1:1/0"
    credentials.write_environment(data, {"BOXYARD_REDIS_URL": url})
    credentials.write(data)


def keep_the_blobs(data: Path) -> None:
    (data / "blobs").mkdir()
    (data / "blobs" / ".boxyard-store").write_text("store_a")
    Credentials.create(URL).write(data)


@pytest.mark.parametrize("keep", [remember_the_ledger, keep_the_environment, keep_the_blobs])
def test_a_removed_redis_folder_stops_the_start_where_anything_shows_that_it_was_used(
    data: Path, keep: Callable[[Path], None]
) -> None:
    data.mkdir()
    keep(data)
    with (
        pytest.raises(SetupError, match=r"redis/appendonlydir holds no data .*--new-ledger"),
        Stack(StackSettings(data=data, port=0), print) as stack,
    ):
        stack.start()
    assert not (data / "redis").exists()


def test_lost_keys_are_not_replaced_unasked_beside_blobs(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    with pytest.raises(SetupError, match="--new-credentials"):
        Credentials.keep(tmp_path, URL)
