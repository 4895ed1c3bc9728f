"""A blob store that is away, or another one in its place, is never taken for an empty store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest
from moto.server import ThreadedMotoServer

from boxyard_ledger import BlobMissing, BlobStore, Ledger, LedgerSettings
from boxyard_ledger.blobs import DirectoryBlobs, StoreIdentity
from boxyard_ledger.connection import Connection
from boxyard_schemas.errors import Unavailable
from disks import needs_mounts, tmpfs

KEY = "acme/uploads/one"


def operations(blobs: BlobStore) -> dict[str, Callable[[], object]]:
    """All that a process may do with a store."""
    return {
        "get": lambda: blobs.get(KEY),
        "put": lambda: blobs.put("acme/uploads/two", b"two"),
        "put once": lambda: blobs.put("acme/results/two", b"two", once=True),
        "delete": lambda: blobs.delete(KEY),
        "list": lambda: list(blobs.keys("")),
        "check": blobs.check,
    }


def assert_all_unavailable(blobs: BlobStore) -> None:
    for name, operation in operations(blobs).items():
        with pytest.raises(Unavailable):
            pytest.fail(f"{name} gave {operation()!r}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk" / "blobs"


@pytest.fixture
def blobs(root: Path, identity: StoreIdentity) -> DirectoryBlobs:
    """A store that holds one blob."""
    made = DirectoryBlobs(root, identity)
    made.put(KEY, b"one")
    return made


def reopened(root: Path, connection: Connection) -> DirectoryBlobs:
    """The store as a process that starts now has it."""
    return DirectoryBlobs(root, StoreIdentity(connection))


def renamed(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


def emptied(root: Path) -> None:
    renamed(root)
    root.mkdir()


def replaced_by_a_file(root: Path) -> None:
    renamed(root)
    root.write_text("no directory")


def replaced_by_a_link_to_nothing(root: Path) -> None:
    renamed(root)
    root.symlink_to(root.with_name("nowhere"))


def replaced_by_a_link_to_another_directory(root: Path) -> None:
    emptied(root.with_name("blobs"))
    root.rmdir()
    other = root.with_name("other")
    other.mkdir()
    root.symlink_to(other)


def replaced_by_another_stores_disk(root: Path) -> None:
    emptied(root)
    (root / ".boxyard-store").write_text("store_of_another_stack")


def replaced_by_a_damaged_disk(root: Path) -> None:
    emptied(root)
    (root / ".boxyard-store").write_bytes(b"\xff\x00")


def parent_renamed(root: Path) -> None:
    root.parent.rename(root.parent.with_name("elsewhere"))


@pytest.mark.parametrize(
    "harm",
    [
        renamed,
        emptied,
        replaced_by_a_file,
        replaced_by_a_link_to_nothing,
        replaced_by_a_link_to_another_directory,
        replaced_by_another_stores_disk,
        replaced_by_a_damaged_disk,
        parent_renamed,
    ],
)
def test_what_is_in_the_place_of_the_store_is_left_alone(
    harm: Callable[[Path], None], blobs: DirectoryBlobs, root: Path, connection: Connection
):
    harm(root)
    seen = sorted(root.parent.parent.rglob("*"))
    for store in (blobs, reopened(root, connection)):
        assert_all_unavailable(store)
    assert sorted(root.parent.parent.rglob("*")) == seen, "something was written"


def test_a_store_that_comes_back_goes_on(blobs: DirectoryBlobs, root: Path):
    away = root.with_name("away")
    root.rename(away)
    assert_all_unavailable(blobs)
    away.rename(root)
    blobs.check()
    assert blobs.get(KEY) == b"one"
    assert list(blobs.keys("")) == [KEY]


def test_a_store_that_moved_and_is_linked_to_is_the_same_store(blobs: DirectoryBlobs, root: Path):
    away = root.with_name("away")
    root.rename(away)
    root.symlink_to(away)
    assert blobs.get(KEY) == b"one"
    blobs.put("acme/uploads/two", b"two")
    assert (away / "acme/uploads/two").read_bytes() == b"two"


def test_a_missing_blob_of_the_right_store_is_missing(blobs: DirectoryBlobs):
    with pytest.raises(BlobMissing):
        blobs.get("acme/uploads/none")


def test_a_store_of_before_is_known_to_a_new_redis(
    blobs: DirectoryBlobs, root: Path, connection: Connection
):
    connection.command("FLUSHALL")
    store = reopened(root, connection)
    assert store.get(KEY) == b"one"
    renamed(root)
    assert_all_unavailable(store)


def test_redis_is_emptied_while_the_disk_is_away_and_no_store_is_made_anew(
    blobs: DirectoryBlobs, root: Path, connection: Connection
):
    emptied(root)
    connection.command("FLUSHALL")
    assert_all_unavailable(blobs)
    assert list(root.iterdir()) == []


def test_after_redis_was_emptied_a_look_at_the_store_has_it_remembered_again(
    blobs: DirectoryBlobs, root: Path, connection: Connection
):
    connection.command("FLUSHALL")
    blobs.check()
    emptied(root)
    assert_all_unavailable(reopened(root, connection))


def test_processes_that_set_a_store_up_at_once_agree(root: Path, connection: Connection):
    stores, together = [reopened(root, connection) for _ in range(8)], Barrier(8)

    def put(number: int) -> None:
        together.wait()
        stores[number].put(f"acme/uploads/{number}", b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(8)))
    assert len(list(stores[0].keys(""))) == 8
    assert len(list(root.glob(".boxyard-store*"))) == 1


def test_an_operator_accepts_another_directory_and_running_processes_go_on_there(
    blobs: DirectoryBlobs, root: Path, connection: Connection
):
    emptied(root)
    assert_all_unavailable(blobs)
    reopened(root, connection).adopt()
    blobs.check()
    with pytest.raises(BlobMissing):
        blobs.get(KEY)
    blobs.put(KEY, b"anew")
    assert reopened(root, connection).get(KEY) == b"anew"


@needs_mounts
def test_an_unmounted_disk_is_waited_for_and_its_mount_point_stays_empty(
    root: Path, connection: Connection
):
    root.mkdir(parents=True)
    with tmpfs(root) as disk:
        blobs = reopened(root, connection)
        blobs.put(KEY, b"one")
        listing = blobs.keys("")
        assert next(listing) == KEY
        listing.close()
        disk.unmount()  # no file is held open between operations
        assert_all_unavailable(blobs)
        assert list(root.iterdir()) == []
        disk.mount()  # a tmpfs comes back empty: another disk
        assert_all_unavailable(blobs)
        assert list(root.iterdir()) == []


@needs_mounts
def test_a_disk_that_is_mounted_read_only_can_be_read(root: Path, connection: Connection):
    root.mkdir(parents=True)
    with tmpfs(root) as disk:
        blobs = reopened(root, connection)
        blobs.put(KEY, b"one")
        disk.remount("ro")
        assert blobs.get(KEY) == b"one"
        with pytest.raises(Unavailable, match="not writable"):
            blobs.check()
        with pytest.raises(Unavailable, match="Read-only"):
            blobs.put(KEY, b"two")
        with pytest.raises(Unavailable, match="Read-only"):
            blobs.delete(KEY)
        disk.remount("rw")
        blobs.check()
        blobs.put(KEY, b"two")


@needs_mounts
def test_a_full_disk_can_be_read(root: Path, connection: Connection):
    root.mkdir(parents=True)
    with tmpfs(root, size="64k"):
        blobs = reopened(root, connection)
        blobs.put(KEY, b"one")
        with pytest.raises(Unavailable, match="No space"):
            blobs.put("acme/uploads/two", bytes(100_000))
        assert blobs.get(KEY) == b"one"
        assert list(blobs.keys("")) == [KEY]
        blobs.delete(KEY)


@contextmanager
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_bucket_that_was_made_anew_is_not_the_store(
    ledger_settings: LedgerSettings, connection: Connection
):
    with moto() as url:
        settings = LedgerSettings(
            redis_url=ledger_settings.redis_url,
            blob_url="s3://yard/prod",
            s3_endpoint_url=url,
            s3_access_key_id="key",
            s3_secret_access_key="secret",
        )
        with Ledger.open(settings) as ledger:
            client = ledger.buckets._s3.client
            client.create_bucket(Bucket="yard")
            ledger.blobs.put(KEY, b"one")
            for entry in (KEY, ".boxyard-store"):
                client.delete_object(Bucket="yard", Key=f"prod/{entry}")
            client.delete_bucket(Bucket="yard")
            client.create_bucket(Bucket="yard")
            with pytest.raises(Unavailable, match=r"The bucket yard is not the blob store"):
                ledger.blobs.get(KEY)
            with Ledger.open(settings) as started:
                assert_all_unavailable(started.blobs)
            assert client.list_objects_v2(Bucket="yard")["KeyCount"] == 0
            ledger.blobs.adopt()
            with pytest.raises(BlobMissing):
                ledger.blobs.get(KEY)
