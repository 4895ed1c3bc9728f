"""The transport of the ledger's broker, made for bells: hints that may be lost.

Whoever reaches Redis can put anything in a queue, and kombu and Celery act on much of what they
read: callbacks, delays, classes to build. So a message is looked at before they see it. One that
is no bell is counted, logged and forgotten; for one that is, they get a message that is written
here.
"""

from __future__ import annotations

import itertools
import json
from base64 import b64decode, b64encode
from typing import Any
from uuid import uuid4

import structlog

from boxyard_ledger.broker import queue_transport
from boxyard_schemas import DETECT_TASK, Bell, detect_queue

log = structlog.get_logger(__name__)

_SHOWN = 200
# What parsing, and looking into, somebody's words may raise.
_FOREIGN = (ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError)


def bell_transport(scheme: str, model: str) -> type[Any]:
    """The transport for a model's bells over Redis.

    Args:
        scheme: of the broker's URL, such as `redis` or `rediss`.
        model: whose bells; others are refused.
    """
    base: Any = queue_transport(scheme)
    refused = itertools.count(1)

    def refuse(error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"[:_SHOWN]
        log.warning("bell.refused", reason=reason, count=next(refused))

    class Channel(base.Channel):
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except _FOREIGN as error:
                refuse(error)
                return True

    class Transport(base):
        def _deliver(self, message: Any, queue: str) -> None:
            try:
                check_bell(message, model)
            except _FOREIGN as error:
                refuse(error)
            else:
                super()._deliver(write_message(model), queue)

    Transport.Channel = Channel
    return Transport


def check_bell(message: Any, model: str) -> None:
    """Looks at what came out of the queue.

    Raises:
        Exception: one of many kinds: it is no bell, or another model's.
    """
    task, kind = message["headers"]["task"], message["content-type"]
    if task != DETECT_TASK or kind != "application/json":
        raise ValueError(f"the task {str(task)[:80]!r} as {str(kind)[:80]!r}")
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        body = b64decode(body)
    arguments, words, _ = json.loads(body)
    bell = Bell.model_validate(words)
    if arguments or bell.model != model:
        raise ValueError(f"a bell of {bell.model!r} with {len(arguments)} arguments")


def write_message(model: str) -> dict[str, Any]:
    """A bell as Celery reads it."""
    number, body = str(uuid4()), json.dumps([[], Bell(model=model).model_dump(), {}])
    return {
        "body": b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": DETECT_TASK, "id": number, "root_id": number},
        "properties": {
            "correlation_id": number,
            "delivery_info": {"exchange": "", "routing_key": detect_queue(model)},
            "delivery_tag": number,
            "body_encoding": "base64",
        },
    }
