"""An S3 server that can be made to fail, to be slow, to refuse, and to be away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any, Self

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from ports import hold_port

Environment = dict[str, Any]
Answer = Iterable[bytes]
Application = Callable[[Environment, Callable[..., Any]], Answer]
Fault = Callable[[Application, Environment, Callable[..., Any]], Answer]
"""What becomes of a request: it may be handed to the application, or not."""

_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"


def refuse(status: str, code: str) -> Fault:
    """Answers as S3 says no: `refuse("503 Slow Down", "SlowDown")`."""

    def fault(_: Application, __: Environment, start: Callable[..., Any]) -> Answer:
        start(status, [("Content-Type", "application/xml")])
        return [_ERROR.format(code=code).encode()]

    return fault


def delay(seconds: float) -> Fault:
    """Answers as ever, later."""

    def fault(serve: Application, environment: Environment, start: Callable[..., Any]) -> Answer:
        time.sleep(seconds)
        return serve(environment, start)

    return fault


class FaultyS3:
    """moto's S3 on a port of its own.

    Attributes:
        faults: what requests for a bucket meet; good service where there is none.
        met: how many requests met one.
    """

    def __init__(self, *buckets: str) -> None:
        self._buckets = buckets
        self.faults: dict[str, Fault] = {}
        self.met = 0
        self._serve: Application = DomainDispatcherApplication(create_backend_app)
        self.port = hold_port()

    @property
    def url(self) -> str:
        """Where it listens; the same after it was away."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.come()
        for bucket in self._buckets:
            self.client().create_bucket(Bucket=bucket)
        return self

    def __exit__(self, *_: object) -> None:
        self.go()

    def come(self) -> None:
        """Listens."""
        self._server: BaseWSGIServer = make_server("127.0.0.1", self.port, self, threaded=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def go(self) -> None:
        """Connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )

    def __call__(self, environment: Environment, start: Callable[..., Any]) -> Answer:
        bucket = environment["PATH_INFO"].split("/")[1]
        if fault := self.faults.get(bucket):
            self.met += 1
            return fault(self._serve, environment, start)
        return self._serve(environment, start)
