"""One contract for both stores; S3 is a real server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from boxyard_ledger import BlobMissing, BlobStore, LedgerSettings
from boxyard_ledger.blobs import DirectoryBlobs, open_blobs
from boxyard_ledger.buckets import Buckets
from boxyard_ledger.s3 import S3
from boxyard_schemas.errors import Conflict, Permanent, Retryable, SetupError, TooLarge, Unavailable


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def s3_settings(s3_url: str) -> LedgerSettings:
    return LedgerSettings(
        blob_url="s3://yard/prod",
        s3_endpoint_url=s3_url,
        s3_access_key_id="key",
        s3_secret_access_key="secret",
        allowed_buckets="mine, other",
    )


@pytest.fixture(scope="module")
def server(s3_settings: LedgerSettings) -> S3:
    s3 = S3(s3_settings)
    for bucket in ("yard", "mine"):
        s3.client.create_bucket(Bucket=bucket)
    return s3


@pytest.fixture
def s3(server: S3) -> S3:
    """The way to empty buckets."""
    for bucket in ("yard", "mine"):
        for key in list(server.keys(bucket, "")):
            server.delete(bucket, key)
    return server


@pytest.fixture(params=["directory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return DirectoryBlobs(tmp_path)
    settings = request.getfixturevalue("s3_settings")
    return open_blobs(settings, request.getfixturevalue("s3"))


def test_what_is_put_is_got_and_its_reference_tells_what_it_is(blobs: BlobStore):
    data = bytes(range(256)) * 64
    reference = blobs.put("acme/uploads/one", data)
    assert reference.key == "acme/uploads/one"
    assert (reference.sha256, reference.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert blobs.get("acme/uploads/one") == data
    assert blobs.exists("acme/uploads/one")


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


def test_of_many_that_put_once_one_wins(blobs: BlobStore):
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


def test_a_missing_blob_says_so(blobs: BlobStore):
    with pytest.raises(BlobMissing) as caught:
        blobs.get("a/b")
    assert (caught.value.reason, caught.value.status) == ("blob-missing", 404)
    assert not blobs.exists("a/b")


def test_a_blob_over_the_limit_is_not_read(blobs: BlobStore):
    blobs.put("a/b", b"12345")
    assert blobs.get("a/b", max_bytes=5) == b"12345"
    with pytest.raises(TooLarge):
        blobs.get("a/b", max_bytes=4)


def test_a_deleted_blob_is_gone_and_deleting_again_is_no_error(blobs: BlobStore):
    blobs.put("a/b", b"x")
    blobs.delete("a/b")
    blobs.delete("a/b")
    assert not blobs.exists("a/b")


def test_keys_are_listed_by_prefix(blobs: BlobStore):
    for key in ("acme/results/1/1.json", "acme/results/1/2.json", "acme/results/11/1.json"):
        blobs.put(key, b"x")
    assert sorted(blobs.keys("acme/results/1/")) == [
        "acme/results/1/1.json",
        "acme/results/1/2.json",
    ]
    assert len(list(blobs.keys("acme/results/1"))) == 3
    assert list(blobs.keys("nobody/")) == []


def test_a_directory_keeps_nothing_outside_itself_and_no_drafts(tmp_path: Path):
    blobs = DirectoryBlobs(tmp_path / "root")
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(BlobMissing):
        blobs.get("../secret")
    with pytest.raises(BlobMissing):
        blobs.put("../secret", b"y")
    blobs.put("a/b", b"x")
    assert [path.name for path in (tmp_path / "root").rglob("*") if path.is_file()] == ["b"]


def test_a_directory_loses_its_empty_folders_but_no_put(tmp_path: Path):
    blobs = DirectoryBlobs(tmp_path)

    def put_and_delete(number: int) -> None:
        for turn in range(20):
            blobs.put(f"a/b/{number}-{turn}", b"x")
            blobs.delete(f"a/b/{number}-{turn}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_and_delete, range(4)))
    assert list((tmp_path / "a").iterdir()) == []


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable):
        DirectoryBlobs(tmp_path).put("a/b", b"x")


def test_an_s3_server_that_is_away_is_unavailable(s3_settings: LedgerSettings):
    away = s3_settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable):
        open_blobs(away, S3(away)).put("a/b", b"x")


@pytest.mark.parametrize("url", ["http://somewhere/x", "file://host/x", "s3://", "/plain"])
def test_a_blob_url_of_no_known_kind_is_refused(url: str):
    settings = LedgerSettings(blob_url=url)
    with pytest.raises(SetupError, match="BOXYARD_BLOB_URL"):
        open_blobs(settings, S3(settings))


def test_a_caller_s_bucket_is_read_and_written(s3: S3, s3_settings: LedgerSettings):
    buckets = Buckets(s3, s3_settings)
    buckets.put("s3://mine/results/a.json", b"{}", "application/json")
    assert buckets.get("s3://mine/results/a.json", 10) == b"{}"
    head = s3.client.head_object(Bucket="mine", Key="results/a.json")
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
def test_a_bucket_that_refuses_says_why(s3: S3, s3_settings: LedgerSettings, uri: str, reason: str):
    buckets = Buckets(s3, s3_settings)
    buckets.put("s3://mine/large", b"12345", "text/plain")
    with pytest.raises(Permanent) as caught:
        buckets.get(uri, 4)
    assert caught.value.reason == reason


def test_no_bucket_is_allowed_by_default(s3_settings: LedgerSettings):
    settings = s3_settings.model_copy(update={"allowed_buckets": ()})
    with pytest.raises(Permanent, match="BOXYARD_ALLOWED_BUCKETS"):
        Buckets(S3(settings), settings).get("s3://mine/x", 4)


def test_a_bucket_s_server_that_is_away_may_come_back(s3_settings: LedgerSettings):
    away = s3_settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(Retryable) as caught:
        Buckets(S3(away), away).get("s3://mine/x", 4)
    assert caught.value.reason == "bucket-unavailable"
