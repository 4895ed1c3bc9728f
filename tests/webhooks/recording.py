"""What a stack sends, recorded: one event of each type, and a bell.

`make recordings` writes the examples of the AsyncAPI document with it, from the demo model.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from cryptography.fernet import Fernet

from beside import beside
from boxyard_ledger import EmbeddedRedis
from boxyard_schemas import Callback, Delivery, EventType, Parameters, UrlImage, detect_queue
from boxyard_schemas.asyncapi import BELL, Recording
from boxyard_schemas.words import utc_now
from process import Process, await_true
from receivers import Received, Receiver
from yard import Yard

SECRET = "whsec_cmVjb3JkZWQgZm9yIHRoZSBleGFtcGxlcw=="
"""Signs what is recorded, and nothing else."""
_HEADERS = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")
_UNSERVED = "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"


def record(folder: Path, picture: bytes, **settings: object) -> dict[str, Recording]:
    """Runs a worker and a deliverer until jobs have ended in every way.

    Args:
        folder: for what they keep.
        picture: that the model finds something in.
        settings: of the worker.
    """
    with EmbeddedRedis(folder / "redis") as server, Receiver() as receiver:
        yard = Yard(folder, server)
        yard.ledger.tenants.register("default", api_key="key", webhook_secret=SECRET)
        try:
            with _sweeping(yard), _delivering(yard, folder):
                _end_jobs(yard, picture, receiver.url)
                yard.worker(**settings)
                # By type, for any of them may come more than once.
                await_true(
                    lambda: len(_events(receiver)) == len(EventType), "every event", patience_s=120
                )
            bell = _bell(server.url)
        finally:
            yard.close()
        return _events(receiver) | {BELL: bell}


def _end_jobs(yard: Yard, picture: bytes, url: str) -> None:
    """Jobs that will end in each way, those first that no worker may take."""
    told = {"delivery": Delivery(callback=Callback.model_validate({"url": url}))}
    nowhere = UrlImage(url="https://images.example.com/yard.jpg")
    unserved = {"model": _UNSERVED, "metadata": {"shelf": "7"}, **told}
    yard.accept([nowhere], **unserved)
    for _ in range(yard.settings.max_attempts):
        (claim,) = yard.ledger.jobs.claim(_UNSERVED, worker="recording", max_images=1)
        yard.ledger.jobs.requeue(claim, reason="The worker that had it ended.")
    yard.ledger.jobs.cancel("default", yard.accept([nowhere], **unserved))
    soon = utc_now() + timedelta(seconds=1)
    yard.accept([nowhere], expires_at=soon, **unserved)
    few = Parameters(max_detections=1)
    yard.accept([picture], metadata={"shelf": "7"}, parameters=few, **told)
    yard.accept([b"no picture"], metadata={"shelf": "7"}, **told)


def _events(receiver: Receiver) -> dict[str, Recording]:
    return {json.loads(each.body)["type"]: _event(each) for each in receiver.requests}


def _event(received: Received) -> Recording:
    headers = {name: received.headers[name] for name in _HEADERS}
    return Recording(headers=headers, body=received.body.decode())


def _bell(url: str) -> Recording:
    """One that rang for the model without workers; kombu's envelope is taken off."""
    with redis.Redis.from_url(url) as client:
        message = json.loads(client.lrange(detect_queue(_UNSERVED), 0, 0)[0])  # type: ignore[index, union-attr]
    headers = {name: message["headers"][name] for name in ("task", "id")}
    return Recording(headers=headers, body=base64.b64decode(message["body"]).decode())


@contextmanager
def _delivering(yard: Yard, folder: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "BOXYARD_REDIS_URL": yard.settings.redis_url,
        "BOXYARD_BLOB_URL": yard.settings.blob_url,
        "BOXYARD_ALLOWED_NETWORKS": "127.0.0.0/8",
        "BOXYARD_ALLOWED_PORTS": "",
        "BOXYARD_PUBLIC_URL": "https://boxyard.example.com",
    }
    program = str(Path(sys.executable).with_name("boxyard-worker"))
    process = Process("deliver", [program, "deliver"], environment, folder)
    try:
        yield
    finally:
        process.close()


def _sweeping(yard: Yard) -> AbstractContextManager[None]:
    def sweep(stop: threading.Event) -> None:
        while not stop.wait(0.2):
            yard.ledger.sweeps.sweep()

    return beside(sweep)


def main(folder: Path, picture: Path) -> None:
    """Writes a file for each message."""
    os.environ["BOXYARD_SECRET_KEYS"] = Fernet.generate_key().decode()
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory() as kept:
        recordings = record(Path(kept), picture.read_bytes(), detector="mmdetection")
    for name, recording in recordings.items():
        (folder / f"{name}.json").write_text(recording.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
