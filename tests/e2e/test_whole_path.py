"""Every process of the yard, blobs in S3, pictures given in all four ways, all three deliveries."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from standardwebhooks import Webhook

from boxyard_ledger import EmbeddedRedis
from boxyard_producer import Client
from boxyard_schemas import (
    Base64Image,
    Delivery,
    Event,
    ImageSuccess,
    JobResult,
    S3Image,
    UploadImage,
    UrlImage,
)
from pictures import png, scene
from process import PATIENCE_S, await_true
from receivers import Receiver, say
from yard import MODEL

BUCKET, KEY = "acme", token_hex(16)
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBkZWZhdWx0IHRlbmFudA=="


@pytest.fixture
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def open_s3(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )


@contextmanager
def process(environment: dict[str, str], log: Path, *words: str) -> Iterator[None]:
    with log.open("wb") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", *words], env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        started.terminate()
        assert started.wait(PATIENCE_S) == 0, log.read_text()[-3000:]


@pytest.fixture
def url(tmp_path: Path, s3_url: str) -> Iterator[str]:
    """The address of a yard of four processes that share nothing but Redis and S3."""
    for bucket in ("boxyard", BUCKET):
        open_s3(s3_url).create_bucket(Bucket=bucket)
    with EmbeddedRedis(tmp_path / "redis") as redis, ExitStack() as processes:
        environment = {
            **os.environ,
            "BOXYARD_REDIS_URL": redis.url,
            "BOXYARD_BLOB_URL": "s3://boxyard/blobs",
            "BOXYARD_S3_ENDPOINT_URL": s3_url,
            "BOXYARD_S3_ACCESS_KEY_ID": "test",
            "BOXYARD_S3_SECRET_ACCESS_KEY": "test",
            "BOXYARD_ALLOWED_BUCKETS": BUCKET,
            "BOXYARD_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BOXYARD_ALLOWED_PORTS": "",
            "BOXYARD_API_KEY": KEY,
            "BOXYARD_WEBHOOK_SECRET": SECRET,
        }
        log = tmp_path / "server.log"
        detect = ("detect", "--model", MODEL, "--detector", "standin")
        server = ("boxyard_producer.server", "--port", "0")
        processes.enter_context(process(environment, log, *server))
        for words in (detect, ("deliver",), ("sweep",)):
            named = tmp_path / f"{words[0]}.log"
            processes.enter_context(process(environment, named, "boxyard_worker.cli", *words))
        await_true(lambda: "running on" in log.read_text(), "the server", log.read_text)
        yield log.read_text().partition("running on ")[2].split()[0]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, KEY) as opened:
        yield opened


def add_endpoint(url: str, receiver: Receiver) -> tuple[str, str]:
    """A callback endpoint's id and secret."""
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx.post(
        f"{url}/v1/endpoints", json={"url": receiver.url}, headers=headers, timeout=60
    )
    return answer.json()["id"], answer.json()["secret"]


def test_pictures_given_in_all_four_ways_come_back_by_all_three_deliveries(
    client: Client, url: str, s3_url: str
) -> None:
    open_s3(s3_url).put_object(Bucket=BUCKET, Key="in/one.png", Body=png(scene()))
    with Receiver(say(200, png(scene()))) as source, Receiver() as bare, Receiver() as set_up:
        upload = client.upload(png(scene()))
        images = [
            UrlImage.model_validate({"url": source.url}),
            Base64Image.model_validate({"base64": b64encode(png(scene()))}),
            S3Image(s3=f"s3://{BUCKET}/in/one.png"),
            UploadImage(upload=upload.id),
        ]
        endpoint, secret = add_endpoint(url, set_up)
        delivery = {"callback": {"url": bare.url}, "endpoint": endpoint, "s3": f"s3://{BUCKET}/out"}
        job = client.submit(MODEL, images, delivery=Delivery.model_validate(delivery))
        client.wait(job.id, timeout_s=PATIENCE_S)
        result = client.result(job.id)
        await_true(lambda: bool(bare.requests and set_up.requests), "the callbacks", str)
        events = {SECRET: bare.requests[0], secret: set_up.requests[0]}

    found = [image.boxes for image in result.images if isinstance(image, ImageSuccess)]
    assert len(found) == 4
    assert all(boxes == found[0] and boxes[0].label == "red" for boxes in found)
    found_all = result.model_dump()
    for key, event in events.items():
        Webhook(key).verify(event.body, event.headers)
        assert Event.model_validate_json(event.body).data.result.model_dump() == found_all

    def copied() -> bool:
        return "Contents" in open_s3(s3_url).list_objects_v2(Bucket=BUCKET, Prefix="out/")

    await_true(copied, "the copy", str)
    copy = open_s3(s3_url).get_object(Bucket=BUCKET, Key=f"out/{job.id}.json")["Body"].read()
    assert JobResult.model_validate_json(copy).model_dump() == found_all
