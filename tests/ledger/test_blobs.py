"""One contract for both stores, and S3 twice.

Moto keeps the finer promises of S3, such as one winner of a race, but takes any credentials;
Swift checks every signature and keeps its objects over a restart.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from boxyard_ledger import (
    BlobMissing,
    BlobStore,
    BlobUnreadable,
    LedgerSettings,
    StoreRefuses,
    read_result,
)
from boxyard_ledger.blobs import DirectoryBlobs, StoreIdentity, open_blobs
from boxyard_ledger.buckets import Buckets
from boxyard_ledger.connection import Connection
from boxyard_ledger.s3 import S3
from boxyard_schemas.errors import Conflict, Permanent, Retryable, SetupError, TooLarge, Unavailable
from swift_server import GUEST, KEEPER, SwiftServer


class Yard(NamedTuple):
    """An S3 server with the stack's bucket and a caller's."""

    settings: LedgerSettings
    s3: S3

    def emptied(self) -> Yard:
        for bucket in ("yard", "mine"):
            for key in list(self.s3.keys(bucket, "")):
                self.s3.delete(bucket, key)
        return self


def settings_for(url: str, key: str = "key", secret: str = "secret") -> LedgerSettings:
    return LedgerSettings(
        blob_url="s3://yard/prod",
        s3_endpoint_url=url,
        s3_access_key_id=key,
        s3_secret_access_key=secret,
        allowed_buckets="mine, other",
    )


AWAY = settings_for("http://127.0.0.1:9")


def set_up(settings: LedgerSettings) -> Yard:
    s3 = S3(settings)
    for bucket in ("yard", "mine"):
        s3.client.create_bucket(Bucket=bucket)
    return Yard(settings, s3)


@pytest.fixture(scope="module")
def moto() -> Iterator[Yard]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield set_up(settings_for(f"http://{host}:{port}"))
    server.stop()


@pytest.fixture(scope="module")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    folder = tmp_path_factory.mktemp("swift")
    try:
        os.setxattr(folder, "user.boxyard", b"")
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Swift needs extended attributes in {folder}: {error}")
    with SwiftServer(folder) as server:
        yield server


@pytest.fixture(scope="module")
def swift(swift_server: SwiftServer) -> Yard:
    return set_up(settings_for(swift_server.url, *KEEPER))


@pytest.fixture(params=["moto", "swift"])
def yard(request: pytest.FixtureRequest) -> Yard:
    found: Yard = request.getfixturevalue(request.param)
    return found.emptied()


@pytest.fixture(params=["directory", "moto", "swift"])
def blobs(
    request: pytest.FixtureRequest, tmp_path: Path, identity: StoreIdentity, connection: Connection
) -> BlobStore:
    if request.param == "directory":
        return DirectoryBlobs(tmp_path, identity)
    found: Yard = request.getfixturevalue(request.param)
    return open_blobs(*found.emptied(), connection)


def test_what_is_put_is_got_and_its_reference_tells_what_it_is(blobs: BlobStore):
    data = bytes(range(256)) * 64
    reference = blobs.put("acme/uploads/one", data)
    assert reference.key == "acme/uploads/one"
    assert (reference.sha256, reference.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert blobs.get("acme/uploads/one") == data


def test_a_put_replaces_what_was_there(blobs: BlobStore):
    blobs.put("a/b", b"old")
    blobs.put("a/b", b"new")
    assert blobs.get("a/b") == b"new"


def test_a_put_once_replaces_nothing(blobs: BlobStore):
    blobs.put("a/b", b"first", once=True)
    with pytest.raises(Conflict):
        blobs.put("a/b", b"second", once=True)
    assert blobs.get("a/b") == b"first"


def test_a_put_once_that_is_sent_again_is_no_conflict(blobs: BlobStore):
    first = blobs.put("a/b", b"same", once=True)
    assert blobs.put("a/b", b"same", once=True) == first


@pytest.mark.parametrize("blobs", ["directory", "moto"], indirect=True)
def test_of_many_that_put_once_one_wins(blobs: BlobStore):
    """Not on Swift: it looks, then writes, so that puts in the same instant may all succeed.

    The last one stays, and the store cannot know. Amazon's S3 promises one winner, as moto does.
    """

    def put(number: int) -> bool:
        try:
            blobs.put("a/b", b"%d" % number, once=True)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(put, range(8)))
    assert sum(won) == 1
    assert blobs.get("a/b") == b"%d" % won.index(True)


def test_a_blob_that_is_erased_while_it_is_put_again_can_be_tried_once_more(
    moto: Yard, connection: Connection
):
    class Raced(S3):
        """Whose object goes between the put that it refuses and the look at it."""

        def put(self, bucket: str, key: str, data: bytes, **options: Any) -> None:
            try:
                super().put(bucket, key, data, **options)
            finally:
                self.delete(bucket, key)

    blobs = open_blobs(*moto.emptied(), connection)
    blobs.put("a/b", b"x", once=True)
    with pytest.raises(Unavailable, match="comes and goes"):
        open_blobs(moto.settings, Raced(moto.settings), connection).put("a/b", b"x", once=True)
    blobs.put("a/b", b"x", once=True)


def test_many_threads_keep_their_connections(
    moto: Yard, caplog: pytest.LogCaptureFixture, connection: Connection
):
    blobs = open_blobs(*moto.emptied(), connection)
    blobs.put("a/b", b"x")
    together = Barrier(32)

    def read(_: int) -> bytes:
        together.wait()
        return blobs.get("a/b")

    with ThreadPoolExecutor(32) as threads:
        assert set(threads.map(read, range(32))) == {b"x"}
    assert "Connection pool is full" not in caplog.text


def test_a_missing_blob_says_so(blobs: BlobStore):
    with pytest.raises(BlobMissing) as caught:
        blobs.get("a/b")
    assert (caught.value.reason, caught.value.status) == ("blob-missing", 404)


def test_a_store_that_takes_work_is_open(blobs: BlobStore):
    blobs.check()


def test_a_bucket_that_is_not_there_is_the_operator_s_to_mend(moto: Yard, connection: Connection):
    settings = moto.settings.model_copy(update={"blob_url": "s3://nowhere/prod"})
    with pytest.raises(StoreRefuses, match="NoSuchBucket"):
        open_blobs(settings, moto.s3, connection).check()


def test_a_directory_that_cannot_be_is_not_open(tmp_path: Path, identity: StoreIdentity):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        DirectoryBlobs(tmp_path / "file" / "blobs", identity).check()


def test_a_blob_over_the_limit_is_not_read(blobs: BlobStore):
    blobs.put("a/b", b"12345")
    assert blobs.get("a/b", max_bytes=5) == b"12345"
    with pytest.raises(TooLarge):
        blobs.get("a/b", max_bytes=4)


def test_a_deleted_blob_is_gone_and_deleting_again_is_no_error(blobs: BlobStore):
    blobs.put("a/b", b"x")
    blobs.delete("a/b")
    blobs.delete("a/b")
    assert list(blobs.keys("a/")) == []


def test_keys_are_listed_by_prefix(blobs: BlobStore):
    for key in ("acme/results/1/1.json", "acme/results/1/2.json", "acme/results/11/1.json"):
        blobs.put(key, b"x")
    assert sorted(blobs.keys("acme/results/1/")) == [
        "acme/results/1/1.json",
        "acme/results/1/2.json",
    ]
    assert len(list(blobs.keys("acme/results/1"))) == 3
    assert list(blobs.keys("nobody/")) == []


def test_a_directory_keeps_nothing_outside_itself_and_no_drafts(
    tmp_path: Path, identity: StoreIdentity
):
    blobs = DirectoryBlobs(tmp_path / "root", identity)
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(BlobMissing):
        blobs.get("../secret")
    with pytest.raises(BlobMissing):
        blobs.put("../secret", b"y")
    blobs.put("a/b", b"x")
    assert [path.name for path in (tmp_path / "root").rglob("[!.]*") if path.is_file()] == ["b"]


def test_drafts_that_a_crash_left_go_and_no_others_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: StoreIdentity
):
    drafts = tmp_path / ".unfinished"
    drafts.mkdir()
    left, under_way = drafts / "left", drafts / "under-way"
    left.write_bytes(b"x")
    under_way.write_bytes(b"x")
    os.utime(left, (time.time() - 7200,) * 2)
    ahead = time.time() + 7200
    monkeypatch.setattr(time, "time", lambda: ahead)
    DirectoryBlobs(tmp_path, identity).put("a/b", b"x")
    assert list(drafts.iterdir()) == [under_way]


def test_a_directory_loses_its_empty_folders_but_no_put(tmp_path: Path, identity: StoreIdentity):
    blobs = DirectoryBlobs(tmp_path, identity)

    def put_and_delete(number: int) -> None:
        for turn in range(20):
            blobs.put(f"a/results/b/{number}-{turn}", b"x")
            blobs.delete(f"a/results/b/{number}-{turn}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_and_delete, range(4)))
    assert list((tmp_path / "a/results").iterdir()) == []


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path, identity: StoreIdentity):
    (tmp_path / "a").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable):
        DirectoryBlobs(tmp_path, identity).put("a/b", b"x")


KEPT = "acme/uploads/one"


@pytest.fixture
def directory(tmp_path: Path, identity: StoreIdentity) -> DirectoryBlobs:
    """A store with one blob."""
    blobs = DirectoryBlobs(tmp_path, identity)
    blobs.put(KEPT, b"kept")
    return blobs


def test_the_folder_of_a_tenants_uploads_stays_without_them(directory: DirectoryBlobs):
    directory.delete(KEPT)
    with pytest.raises(BlobMissing) as caught:
        directory.get(KEPT)
    caught.value.check_folder()


@pytest.mark.parametrize("gone", ["acme", "acme/uploads"])
@pytest.mark.parametrize("instead", ["nothing", "a dangling link", "a file"])
def test_a_recorded_blob_whose_folder_is_gone_is_away(
    directory: DirectoryBlobs, tmp_path: Path, gone: str, instead: str
):
    (tmp_path / gone).rename(tmp_path / "away")
    if instead == "a dangling link":
        (tmp_path / gone).symlink_to(tmp_path / "none")
    elif instead == "a file":
        (tmp_path / gone).write_bytes(b"")
    with pytest.raises(BlobMissing) as caught:
        directory.get(KEPT)
    with pytest.raises(Unavailable, match=r"no folder acme/uploads\. Is its disk mounted\?"):
        caught.value.check_folder()
    (tmp_path / gone).unlink(missing_ok=True)
    (tmp_path / "away").rename(tmp_path / gone)
    assert directory.get(KEPT) == b"kept"


def test_a_recorded_result_whose_folder_is_gone_is_away(directory: DirectoryBlobs, tmp_path: Path):
    reference = directory.put("acme/results/job_1/1.json", b"{}")
    (tmp_path / "acme/results").rename(tmp_path / "away")
    with pytest.raises(Unavailable, match="no folder acme/results"):
        read_result(directory, reference)
    (tmp_path / "away").rename(tmp_path / "acme/results")
    (tmp_path / "acme/results/job_1/1.json").unlink()
    with pytest.raises(BlobMissing):
        read_result(directory, reference)


def test_after_an_adoption_the_blobs_of_its_folders_are_missing(
    directory: DirectoryBlobs, tmp_path: Path
):
    (tmp_path / "acme").rename(tmp_path / "away")
    directory.adopt(["acme/uploads"])
    with pytest.raises(BlobMissing) as caught:
        directory.get(KEPT)
    caught.value.check_folder()


def failing_open(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Has the file system refuse to open a file of this name."""
    opened = Path.open

    def fail(self: Path, *arguments: Any, **more: Any) -> Any:
        if self.name == name:
            raise OSError(number, os.strerror(number))
        return opened(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", fail)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE])
def test_a_file_that_cannot_be_read_is_not_taken_for_a_store_that_is_away(
    directory: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch, number: int
):
    directory.put("acme/uploads/two", b"two")
    failing_open(monkeypatch, "one", number)
    with pytest.raises(BlobUnreadable, match=re.escape(os.strerror(number))):
        directory.get(KEPT)
    assert directory.get("acme/uploads/two") == b"two"


def test_a_link_that_leads_to_itself_is_one_unreadable_blob(
    directory: DirectoryBlobs, tmp_path: Path
):
    (tmp_path / KEPT).unlink()
    (tmp_path / KEPT).symlink_to(tmp_path / KEPT)
    with pytest.raises(BlobUnreadable, match="symbolic links"):
        directory.get(KEPT)


def test_a_folder_that_cannot_be_read_is_away(directory: DirectoryBlobs, tmp_path: Path):
    (tmp_path / "acme/uploads").rename(tmp_path / "away")
    (tmp_path / "acme/uploads").symlink_to("uploads")
    with pytest.raises(Unavailable, match="Is its disk mounted") as caught:
        directory.get(KEPT)
    assert not isinstance(caught.value, BlobUnreadable)


def test_a_store_whose_id_cannot_be_read_is_away(
    directory: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
):
    failing_open(monkeypatch, "one", errno.EIO)
    failing_open(monkeypatch, ".boxyard-store", errno.EIO)
    with pytest.raises(Unavailable) as caught:
        directory.get(KEPT)
    assert not isinstance(caught.value, BlobUnreadable)


@pytest.mark.parametrize("code", ["InvalidObjectState", "AccessDenied", "InternalError"])
def test_an_object_that_cannot_be_read_is_not_taken_for_a_bucket_that_is_away(
    moto: Yard, connection: Connection, monkeypatch: pytest.MonkeyPatch, code: str
):
    blobs = open_blobs(*moto.emptied(), connection)
    blobs.put(KEPT, b"kept")
    get = moto.s3.client.get_object

    def refuse(**arguments: Any) -> Any:
        if arguments["Key"].endswith("/one"):
            raise ClientError({"Error": {"Code": code, "Message": "of this one"}}, "GetObject")
        return get(**arguments)

    monkeypatch.setattr(moto.s3.client, "get_object", refuse)
    with pytest.raises(BlobUnreadable, match=code):
        blobs.get(KEPT)


def test_an_s3_server_that_is_away_is_unavailable(connection: Connection):
    with pytest.raises(Unavailable, match="S3 is away"):
        open_blobs(AWAY, S3(AWAY), connection).put("a/b", b"x")


def test_blobs_in_s3_outlive_its_restart(
    swift: Yard, swift_server: SwiftServer, connection: Connection
):
    blobs = open_blobs(*swift.emptied(), connection)
    blobs.put("a/b", b"kept")
    swift_server.stop()
    with pytest.raises(Unavailable, match="S3 is away"):
        blobs.get("a/b")
    swift_server.start()
    assert blobs.get("a/b") == b"kept"


def test_a_wrong_secret_reads_and_writes_nothing_and_says_so(
    swift: Yard, swift_server: SwiftServer, connection: Connection
):
    blobs = open_blobs(*swift.emptied(), connection)
    blobs.put("a/b", b"safe")
    wrong = settings_for(swift_server.url, KEEPER[0], "guessed")
    stranger = open_blobs(wrong, S3(wrong), connection)
    with pytest.raises(Unavailable, match="SignatureDoesNotMatch"):
        stranger.get("a/b")
    with pytest.raises(Unavailable, match="SignatureDoesNotMatch"):
        stranger.put("a/b", b"forged")
    assert blobs.get("a/b") == b"safe"


def test_credentials_without_rights_are_refused_not_taken_for_a_missing_blob(
    swift: Yard, swift_server: SwiftServer, connection: Connection
):
    guest = settings_for(swift_server.url, *GUEST)
    with pytest.raises(Unavailable, match=r"The blob store refuses: .*AccessDenied"):
        open_blobs(guest, S3(guest), connection).get("a/b")
    with pytest.raises(Permanent, match="AccessDenied") as caught:
        Buckets(S3(guest), guest).put("s3://mine/x", b"x", "text/plain")
    assert caught.value.reason == "bucket-denied"
    assert list(swift.s3.keys("mine", "")) == []


@pytest.mark.parametrize("url", ["http://somewhere/x", "file://host/x", "s3://", "/plain"])
def test_a_blob_url_of_no_known_kind_is_refused(url: str, connection: Connection):
    settings = LedgerSettings(blob_url=url)
    with pytest.raises(SetupError, match="BOXYARD_BLOB_URL"):
        open_blobs(settings, S3(settings), connection)


def test_a_caller_s_bucket_is_read_and_written(yard: Yard):
    buckets = Buckets(yard.s3, yard.settings)
    buckets.put("s3://mine/results/a.json", b"{}", "application/json")
    assert buckets.get("s3://mine/results/a.json", 10) == (b"{}", "")
    head = yard.s3.client.head_object(Bucket="mine", Key="results/a.json")
    assert head["ContentType"] == "application/json"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://yard/prod/acme/uploads/x", "bucket-denied"),
        ("s3://mine", "bucket-denied"),
        ("https://mine/x", "bucket-denied"),
        ("s3://other/x", "bucket-denied"),
        ("s3://mine/nothing", "object-missing"),
        ("s3://mine/large", "too-large"),
    ],
)
def test_a_bucket_that_refuses_says_why(yard: Yard, uri: str, reason: str):
    buckets = Buckets(yard.s3, yard.settings)
    buckets.put("s3://mine/large", b"12345", "text/plain")
    with pytest.raises(Permanent) as caught:
        buckets.get(uri, 4)
    assert caught.value.reason == reason


def test_no_bucket_is_allowed_by_default():
    settings = AWAY.model_copy(update={"allowed_buckets": ()})
    with pytest.raises(Permanent, match="BOXYARD_ALLOWED_BUCKETS"):
        Buckets(S3(settings), settings).get("s3://mine/x", 4)


def test_a_bucket_s_server_that_is_away_may_come_back():
    with pytest.raises(Retryable) as caught:
        Buckets(S3(AWAY), AWAY).get("s3://mine/x", 4)
    assert caught.value.reason == "bucket-unavailable"
