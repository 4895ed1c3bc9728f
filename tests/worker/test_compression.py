"""One rule for images that are stored or sent compressed, by URL and from a bucket alike."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from boxyard_ledger import Claim, JobRecord, Ledger, LedgerSettings
from boxyard_schemas import S3Image, StoredImage, UrlImage, new_id
from boxyard_schemas.errors import Permanent, Retryable
from boxyard_schemas.words import utc_now
from boxyard_worker.compression import decompressed
from boxyard_worker.detect.fetch import Fetcher
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.egress import Egress
from boxyard_worker.settings import DetectSettings
from pictures import png, scene
from receivers import Receiver, say

IMAGE = png(scene())
LIMIT = 1_000_000
TOKENS = [
    "",
    "identity",
    "none",
    "utf-8",
    "base64",
    "aws-chunked",
    "gzip",
    "aws-chunked,gzip",
    "br",
    "deflate",
    "GZIP",
    "*",
]


def deflated(data: bytes, level: int, form: int) -> bytes:
    """Without a header, as some servers do for `deflate`, or with a smaller window than usual."""
    packing = zlib.compressobj(level, zlib.DEFLATED, form)
    return packing.compress(data) + packing.flush()


@pytest.mark.parametrize("token", TOKENS)
def test_an_image_that_is_not_compressed_is_taken_as_it_is(token: str) -> None:
    assert decompressed(IMAGE, LIMIT, token) == IMAGE


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_compressed_image_is_unpacked_whatever_is_said_of_it(token: str, level: int) -> None:
    for packed in (
        gzip.compress(IMAGE, level),
        zlib.compress(IMAGE, level),
        deflated(IMAGE, level, -zlib.MAX_WBITS),
        deflated(IMAGE, level, 13),
        gzip.compress(gzip.compress(IMAGE, level)),
        gzip.compress(IMAGE[:100]) + gzip.compress(IMAGE[100:]) + bytes(512),
    ):
        assert decompressed(packed, LIMIT, token) == IMAGE


@given(st.binary(max_size=100), st.sampled_from([token for token in TOKENS if token != "br"]))
def test_other_bytes_are_left_for_the_decoder_to_name(data: bytes, token: str) -> None:
    if data[:1] not in b"\x01\x5e\x9c\xda":
        assert decompressed(b"x" + data, LIMIT, token) == b"x" + data


def test_a_compression_that_is_not_read_is_named() -> None:
    with pytest.raises(Permanent, match="compressed by br, which is not read") as caught:
        decompressed(b"\x0b\x02\x80", LIMIT, "aws-chunked, BR")
    assert caught.value.reason == "fetch-encoding"


def test_what_is_no_image_is_named_by_its_content_before_its_encoding() -> None:
    page = b"<html>no such image</html>"
    assert decompressed(page, LIMIT, "br") == page


def test_damaged_and_short_data_may_be_asked_for_again() -> None:
    packed = gzip.compress(IMAGE)
    for broken in (packed[:-1], packed[:20], packed[:30] + b"\xff" * 9 + packed[39:]):
        with pytest.raises(Retryable):
            decompressed(broken, LIMIT)


def test_a_bomb_of_few_or_of_many_members_is_capped() -> None:
    bombs = {
        gzip.compress(bytes(100 * LIMIT)): "too-large",
        gzip.compress(gzip.compress(bytes(100 * LIMIT))): "too-large",
        gzip.compress(b"") * 50_000: "fetch-encoding",
        gzip.compress(bytes(LIMIT // 2)) * 3: "too-large",
    }
    tracemalloc.start()
    for bomb, reason in bombs.items():
        with pytest.raises(Permanent) as caught:
            decompressed(bomb, LIMIT)
        assert caught.value.reason == reason
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * LIMIT


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def ledger_settings(ledger_settings: LedgerSettings, s3_url: str) -> LedgerSettings:
    return LedgerSettings.model_validate(
        {
            **ledger_settings.model_dump(),
            "s3_endpoint_url": s3_url,
            "s3_access_key_id": "test",
            "s3_secret_access_key": "test",
            "s3_region": "us-east-1",
            "allowed_buckets": ("images",),
        }
    )


@pytest.mark.parametrize("token", ["br", "aws-chunked, BR", "zstd"])
def test_a_compression_that_is_not_read_is_named_alike_from_a_bucket(
    ledger: Ledger, ledger_settings: LedgerSettings, token: str
) -> None:
    client = ledger.buckets._s3.client
    client.create_bucket(Bucket="images")
    client.put_object(Bucket="images", Key="b", Body=b"\x0b\x02\x80", ContentEncoding=token)
    settings = DetectSettings.model_validate(ledger_settings.model_dump())
    source = S3Image(s3="s3://images/b")
    with (
        Egress(settings) as egress,
        pytest.raises(Permanent, match=r"compressed by (br|zstd), which is not read"),
    ):
        Fetcher(ledger, egress, settings).fetch(held(source), 0)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("token", [token for token in TOKENS if token])
def test_an_object_is_read_alike_by_url_and_from_its_bucket(
    ledger: Ledger, ledger_settings: LedgerSettings, token: str, *, packed: bool
) -> None:
    stored = gzip.compress(IMAGE) if packed else IMAGE
    client = ledger.buckets._s3.client
    client.create_bucket(Bucket="images")
    client.put_object(Bucket="images", Key="a", Body=stored, ContentEncoding=token)
    settings = DetectSettings.model_validate(
        {
            **ledger_settings.model_dump(),
            "allowed_networks": ("127.0.0.0/8",),
            "allowed_ports": frozenset(),
        }
    )
    answer = say(200, stored, Content_Encoding=token, Content_Type="text/html")
    with Receiver(answer) as receiver, Egress(settings) as egress:
        fetcher = Fetcher(ledger, egress, settings)
        for source in (UrlImage.model_validate({"url": receiver.url}), S3Image(s3="s3://images/a")):
            assert fetcher.fetch(held(source), 0) == IMAGE


def held(source: StoredImage) -> HeldJob:
    job = JobRecord(
        id=new_id("job"),
        tenant="default",
        model="stand-in",
        images=(source,),
        created_at=utc_now(),
    )
    return HeldJob(Claim(job=job, token=1, attempt=1, strikes=()))
