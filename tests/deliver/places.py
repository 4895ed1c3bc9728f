"""The two kinds of places that results are delivered to; each can go down and come up."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Protocol

import boto3
from moto.server import ThreadedMotoServer

from ports import hold_port
from receivers import Receiver


class Place(Protocol):
    delivery: Mapping[str, object]

    def arrived(self) -> int:
        """How many results are there."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class CallbackPlace:
    def __init__(self) -> None:
        self._port = hold_port()
        self._receiver = Receiver(port=self._port)
        self.delivery = {"callback": {"url": self._receiver.url}}

    def arrived(self) -> int:
        return len(self._receiver.requests)

    def start(self) -> None:
        self._receiver = Receiver(port=self._port)

    def stop(self) -> None:
        self._receiver.close()


class BucketPlace:
    def __init__(self) -> None:
        # What moto holds is shared by all its servers of a process.
        self.bucket = f"acme-{token_hex(4)}"
        self.delivery = {"s3": f"s3://{self.bucket}/out/"}
        self._port = hold_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()
        self._s3().create_bucket(Bucket=self.bucket)

    def arrived(self) -> int:
        return len(self._s3().list_objects_v2(Bucket=self.bucket).get("Contents", []))

    def object(self, key: str) -> tuple[bytes, str]:
        """Bytes and content type."""
        found = self._s3().get_object(Bucket=self.bucket, Key=key)
        return found["Body"].read(), found["ContentType"]

    def start(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def _s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
