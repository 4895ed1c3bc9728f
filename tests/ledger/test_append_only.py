"""The files of the embedded Redis: missing, emptied, damaged, and what a start does about it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from boxyard_ledger import EmbeddedRedis, kept_files
from boxyard_ledger.append_only import FOLDER, DamagedIncrement, check_files, load_order
from boxyard_ledger.cut import cut_at_damage
from boxyard_ledger.kept_files import KeptFiles
from boxyard_schemas.errors import SetupError
from process import await_true

MANIFEST = "appendonly.aof.manifest"
BASE, FIRST, SECOND = (
    "appendonly.aof.2.base.rdb",
    "appendonly.aof.2.incr.aof",
    "appendonly.aof.3.incr.aof",
)
IN_BASE, IN_EACH = 50, 40


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and two increments, as a rewrite leaves it that did not end."""
    folder = tmp_path_factory.mktemp("filled")
    with EmbeddedRedis(folder) as server, redis.Redis.from_url(server.url) as client:
        client.mset({f"base-{number}": "v" * 50 for number in range(IN_BASE)})
        client.bgrewriteaof()
        await_true(lambda: not client.info()["aof_rewrite_in_progress"], "the rewrite")
        for number in range(2 * IN_EACH):
            client.set(f"later-{number:02}", "v" * 50)
    files = folder / FOLDER
    whole = (files / FIRST).read_bytes()
    middle = whole.index(b"*3\r\n$3\r\nSET\r\n$8\r\nlater-%d" % IN_EACH)
    (files / FIRST).write_bytes(whole[:middle])
    (files / SECOND).write_bytes(whole[middle:])
    with (files / MANIFEST).open("a") as manifest:
        manifest.write(f"file {SECOND} seq 3 type i\n")
    return folder


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(filled, tmp_path / "data")
    return tmp_path / "data"


def count(data: Path, told: list[str] | None = None, *, expects_data: bool = True) -> int:
    """The keys that a server finds there."""
    tell = [].append if told is None else told.append
    with (
        EmbeddedRedis(data, tell=tell, expects_data=expects_data) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        return int(client.dbsize())


ALL = IN_BASE + 2 * IN_EACH


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        b"",
        b"\n",
        b"\0" * 80,
        b"damaged",
        b"\xff\xfe\n",
        f"file {BASE} seq 2 type b\n".encode(),
        f"file {BASE} seq 2 type b\nfile {FIRST} seq 2 type i\n".encode(),
        f"file {FIRST} seq 2 type i\nfile {SECOND} seq 3 type i\n".encode(),
        f"file {BASE} seq 1 type b\nfile {FIRST} seq 1 type i\n".replace("aof.2", "aof.1").encode(),
    ],
)
def test_a_manifest_that_is_gone_damaged_or_old_is_restored_and_nothing_is_lost(
    data: Path, manifest: bytes | None
) -> None:
    file = data / FOLDER / MANIFEST
    file.unlink()
    if manifest is not None:
        file.write_bytes(manifest)
    told = list[str]()
    assert count(data, told) == ALL
    assert any(f"names {BASE}, {FIRST}, {SECOND} again" in line for line in told)
    if manifest is not None:
        assert file.with_name(f"{MANIFEST}.damaged").read_bytes() == manifest
    assert check_files(data, expected=True) == ""


def test_files_of_a_first_start_are_found_without_their_manifest(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
    (tmp_path / FOLDER / MANIFEST).unlink()
    assert count(tmp_path) == 1


def test_a_removed_folder_of_data_is_named_and_nothing_is_made_in_its_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(SetupError, match=r"holds no data of Redis\. Put .* back.*--new-ledger"):
        count(data)
    assert not data.exists()
    assert count(data, expects_data=False) == 0
    shutil.rmtree(data / FOLDER)
    (data / FOLDER).mkdir()
    with pytest.raises(SetupError, match="holds no data of Redis"):
        count(data)


def test_a_running_servers_removed_data_are_no_reason_to_restart_it_empty(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        server.kill()
        shutil.rmtree(tmp_path / FOLDER)
        with pytest.raises(SetupError, match="holds no data of Redis"):
            server.start()


def write(folder: Path, **sizes: int) -> None:
    """Files of these sizes; each was written a second after the one before."""
    (folder / FOLDER).mkdir()
    for second, (name, size) in enumerate(sizes.items()):
        kind, number = name[0], name[1:]
        end = "base.rdb" if kind == "b" else "incr.aof"
        path = folder / FOLDER / f"appendonly.aof.{number}.{end}"
        path.write_bytes(b"x" * size)
        os.utime(path, (second, second))


@pytest.mark.parametrize(
    "sizes",
    [
        {"b1": 9},  # a first start was killed before it wrote the manifest
        {"b1": 9, "i1": 0},
    ],
)
def test_a_first_start_that_was_interrupted_is_no_loss(
    tmp_path: Path, sizes: dict[str, int]
) -> None:
    write(tmp_path, **sizes)
    check_files(tmp_path, expected=False)


@pytest.mark.parametrize(
    ("sizes", "order"),
    [
        ({"b1": 9, "i1": 9}, "b1 i1"),
        ({"b3": 9, "i3": 0}, "b3 i3"),
        ({"b2": 9, "i4": 9, "i5": 9}, "b2 i4 i5"),  # two rewrites failed before the base's
        ({"i1": 9, "b2": 9, "i2": 9}, "b2 i2"),  # the base is of a later rewrite
        ({"b9": 9, "i9": 9, "i10": 9}, "b9 i9 i10"),
        ({"b2": 9}, None),
        ({"i1": 9}, None),
        ({"b1": 9, "i2": 9}, None),
        ({"b1": 9, "i1": 9, "i3": 9}, None),
        ({"b1": 9, "i1": 9, "b2": 9, "i2": 9}, None),  # a rewrite's predecessors are still there
        ({"i2": 9, "b2": 9, "i3": 9}, None),  # or one of them
        ({"i1": 9, "b2": 9}, None),
    ],
)
def test_files_without_a_manifest_are_read_where_one_order_alone_is_possible(
    tmp_path: Path, sizes: dict[str, int], order: str | None
) -> None:
    write(tmp_path, **sizes)
    before = sorted((tmp_path / FOLDER).iterdir())
    if order:
        assert check_files(tmp_path, expected=True)
        names = [name.split(".") for name in load_order(tmp_path)]
        assert " ".join(kind[0] + number for _, _, number, kind, _ in names) == order
    else:
        with pytest.raises(SetupError, match=r"do not say which .* belong together.*--new-ledger"):
            check_files(tmp_path, expected=False)
        assert sorted((tmp_path / FOLDER).iterdir()) == before


def flip(path: Path, times: int) -> None:
    content, chance = bytearray(path.read_bytes()), random.Random(times)
    for _ in range(times):
        content[chance.randrange(9, len(content))] ^= chance.randrange(1, 256)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda base: os.truncate(base, 0),
        lambda base: os.truncate(base, base.stat().st_size // 2),
        lambda base: base.write_bytes(random.Random(1).randbytes(200)),
        lambda base: base.write_bytes(b"\0" * 500),
        lambda base: base.write_bytes(b"REDIS9999" + base.read_bytes()[9:]),
        lambda base: flip(base, 1),
        lambda base: flip(base, 200),
    ],
)
def test_for_a_damaged_snapshot_a_backup_is_advised_and_no_cut(
    data: Path, damage: Callable[[Path], object]
) -> None:
    damage(data / FOLDER / BASE)
    with pytest.raises(SetupError, match="Backup and restore") as raised:
        count(data)
    assert not isinstance(raised.value, DamagedIncrement)
    assert str(data / FOLDER / BASE) in raised.value.detail
    assert "cut-damaged-file" not in raised.value.detail


def other_words(path: Path, old: bytes, new: bytes, after: float) -> None:
    whole = path.read_bytes()
    start = whole.index(b"*3\r\n", int(len(whole) * after))
    path.write_bytes(whole[:start] + whole[start:].replace(old, new, 1))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bytes": lambda file: other_words(file, b"*3\r\n", b"XXXX", 0.5),
    "zeros": lambda file: other_words(file, b"*3\r\n$3\r\n", bytes(8), 0.5),
    "an unknown command": lambda file: other_words(file, b"SET", b"S\xffT", 0.5),
    "a word that is missing": lambda file: other_words(
        file, b"*3\r\n$3\r\nSET", b"*2\r\n$3\r\nSET", 0.5
    ),
    "a torn end": lambda file: os.truncate(file, file.stat().st_size - 7),
    "nothing of it left": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_older_increment_is_cut_at_the_damage_and_the_later_one_is_set_aside(
    data: Path, damage: str
) -> None:
    path = data / FOLDER / FIRST
    later = path.with_name(SECOND).read_bytes()
    DAMAGES[damage](path)
    left = path.read_bytes() if path.exists() else b""
    for _ in range(2):  # a second start finds what the first did
        with pytest.raises(DamagedIncrement, match=rf"{FIRST} is .*--cut-damaged-file") as raised:
            count(data)
    done = cut_at_damage(data, raised.value.name)
    assert f"set aside: {SECOND}.aside" in done
    assert path.with_name(f"{SECOND}.aside").read_bytes() == later
    if left:
        assert path.with_name(f"{FIRST}.damaged").read_bytes() == left
    keys = count(data)
    assert IN_BASE <= keys < IN_BASE + IN_EACH
    assert (keys > IN_BASE) == bool(left)


@pytest.mark.parametrize("damage", ["bytes", "an unknown command", "nothing of it left"])
def test_the_newest_increment_is_cut_at_the_damage(data: Path, damage: str) -> None:
    DAMAGES[damage](data / FOLDER / SECOND)
    with pytest.raises(DamagedIncrement, match=SECOND) as raised:
        count(data)
    cut_at_damage(data, raised.value.name)
    assert IN_BASE + IN_EACH <= count(data) < ALL


def test_a_torn_end_behind_two_increments_is_dropped_as_behind_one(data: Path) -> None:
    os.truncate(data / FOLDER / SECOND, (data / FOLDER / SECOND).stat().st_size - 7)
    told = list[str]()
    assert count(data, told) == ALL - 1
    assert any("ended in the middle of a write" in line for line in told)


def test_a_second_cut_leaves_the_copy_of_the_first(data: Path) -> None:
    path = data / FOLDER / SECOND
    for part in (0.8, 0.3):
        other_words(path, b"*3\r\n", b"XXXX", part)
        cut_at_damage(data, SECOND)
    first, second = (path.with_name(f"{SECOND}.damaged{each}") for each in ("", "-2"))
    assert first.stat().st_size > second.stat().st_size > path.stat().st_size


def lose_folder(files: Path) -> None:
    shutil.rmtree(files)


def lose_manifest(files: Path) -> None:
    (files / MANIFEST).unlink()


def obstruct_manifest(files: Path) -> None:
    (files / MANIFEST).unlink()
    (files / MANIFEST).mkdir()


def empty_manifest(files: Path) -> None:
    (files / MANIFEST).write_bytes(b"")


def lose_base(files: Path) -> None:
    next(files.glob("*.base.*")).unlink()


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is one, and each rewrite is tried again at once."""
    monkeypatch.setattr(kept_files, "_LOOK_S", 0.0)
    monkeypatch.setattr(kept_files, "_RETRY_S", 0.0)


def lose_increment(files: Path) -> None:
    next(files.glob("*.incr.*")).unlink()


def empty_increment(files: Path) -> None:
    os.truncate(next(files.glob("*.incr.*")), 0)


@pytest.mark.parametrize(
    "damage",
    [lose_folder, lose_manifest, empty_manifest, lose_base, lose_increment, empty_increment],
)
@pytest.mark.usefixtures("without_pauses")
def test_files_that_are_removed_or_emptied_while_the_server_runs_are_written_again(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    told = list[str]()
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
        files = KeptFiles(server, told.append)
        files.tend()
        assert not told
        damage(tmp_path / FOLDER)
        client.set("b", "1")
        await_true(lambda: files.tend() or len(told) == 2, "the rewrite")
        assert "were removed or cut: it writes them again from its memory" in told[0]
        assert "are complete again" in told[1]
        client.set("c", "1")
        server.kill()
    assert count(tmp_path) == 3


@pytest.mark.usefixtures("without_pauses")
def test_rewrites_of_the_server_itself_are_no_damage(tmp_path: Path) -> None:
    told = list[str]()
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        files = KeptFiles(server, told.append)
        for _ in range(3):
            client.set("a", "1")
            client.bgrewriteaof()
            await_true(
                lambda: files.tend() or not client.info()["aof_rewrite_in_progress"], "the rewrite"
            )
            files.tend()
    assert not told


@pytest.mark.usefixtures("without_pauses")
def test_a_folder_in_the_place_of_the_manifest_ends_nothing(tmp_path: Path) -> None:
    told = list[str]()
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
        files = KeptFiles(server, told.append)
        obstruct_manifest(tmp_path / FOLDER)
        files.tend()
        assert "were removed or cut" in told[0]
        (tmp_path / FOLDER / MANIFEST).rmdir()
        await_true(lambda: files.tend() or len(told) == 2, "the rewrite")
    assert count(tmp_path) == 1


@pytest.mark.usefixtures("without_pauses")
def test_a_removed_folder_of_a_running_server_is_reported_once(tmp_path: Path) -> None:
    told = list[str]()
    with EmbeddedRedis(tmp_path / "data") as server:
        (tmp_path / "data").rename(tmp_path / "moved")
        files = KeptFiles(server, told.append)
        files.tend()
        files.tend()
    (line,) = told
    assert "put the folder back" in line
