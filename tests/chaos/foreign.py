"""Messages that nobody of Boxyard would send, as a stranger at Redis would put them in a queue."""

from __future__ import annotations

import base64
import json
import os
import pickle
from pathlib import Path
from typing import Any
from uuid import uuid4

from boxyard_schemas import DETECT_TASK, Bell, detect_queue


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._file}",)


def foreign_messages(model: str, trap: Path, *, megabytes: int) -> dict[str, bytes]:
    """Messages by name; unpickling any of them would make the file `trap`."""
    bell = Bell(model=model).model_dump()
    pickled = pickle.dumps(((Trap(trap),), {}, {}))
    yaml = f"!!python/object/apply:os.system ['touch {trap}']".encode()
    deep = b"[" * 100_000 + b"]" * 100_000
    return {
        "a bare pickle": pickle.dumps(Trap(trap)),
        "junk": os.urandom(500),
        "no UTF-8": b"\xff\xfe\x00",
        "no JSON": b"no JSON",
        "nothing": b"",
        "null": b"null",
        "no envelope": b'"hello"',
        "a list": b"[1]",
        "an envelope of nothing": b"{}",
        "a body of nothing": envelope(model, body=b"null"),
        "deep JSON": deep,
        "a deep body": envelope(model, body=deep),
        **{
            f"a pickled body as {kind}": envelope(model, body=pickled, kind=kind)
            for kind in ("application/x-python-serialize", "application/data", "pickle")
        },
        "a YAML body": envelope(model, body=yaml, kind="application/x-yaml"),
        "an unknown kind": envelope(model, body=b"x", kind="application/x-nobody"),
        "another task": envelope(model, task="os.system", arguments=(f"touch {trap}",)),
        "a task of Celery's own": envelope(model, task="celery.backend_cleanup"),
        "another model": envelope(model, keywords={**bell, "model": "nobodys-model"}),
        "another version": envelope(model, keywords={**bell, "version": 99}),
        "no bell": envelope(model, keywords={"image": "x"}),
        "an unknown job": envelope(model, keywords={**bell, "job": "job_of_nobody"}),
        "arguments": envelope(model, arguments=("job_of_nobody",), keywords=bell),
        "much of it": envelope(model, keywords={**bell, "padding": "x" * (megabytes << 20)}),
    }


def envelope(
    model: str,
    task: str = DETECT_TASK,
    *,
    body: bytes | None = None,
    arguments: tuple[str, ...] = (),
    keywords: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    kind: str = "application/json",
    **headers: object,
) -> bytes:
    """What kombu would read: a Celery message of protocol 2."""
    payload = json.dumps([arguments, keywords or {}, options or {}]).encode()
    number = str(uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(payload if body is None else body).decode(),
            "content-encoding": "utf-8" if kind.endswith("json") else "binary",
            "content-type": kind,
            "headers": {"lang": "py", "task": task, "id": number, "root_id": number, **headers},
            "properties": {
                "correlation_id": number,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": detect_queue(model)},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": number,
            },
        }
    ).encode()
