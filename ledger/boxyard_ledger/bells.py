"""Bells: the Celery messages that say that a model has ready jobs."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog
from celery import Celery
from celery.app.amqp import AMQP
from kombu.exceptions import OperationalError

from boxyard_schemas import DETECT_TASK, Bell, Priority, detect_queue
from boxyard_schemas.errors import SetupError, Unavailable

from . import keys
from .broker import queue_transport
from .connection import Connection
from .link import socket_options, tls_options
from .refusals import RETRY_AFTER_S
from .settings import LedgerSettings

_log = structlog.get_logger(__name__)

_TRY_TWICE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""A pooled connection may be stale. No more: a caller waits, and the sweeper rings again."""

_OVERDUE_S = 10
"""A consumer whose line gives no sign of life for twice as long connects again."""


class NoAck(AMQP):
    """Consumers that acknowledge nothing.

    The ledger is the truth and a bell may be lost, so Redis' unacknowledged set, in which
    messages starve, is never used.
    """

    def TaskConsumer(self, *args: Any, **options: Any) -> Any:  # noqa: N802 - Celery's name
        """Celery's consumer, with `no_ack`."""
        return super().TaskConsumer(*args, **{**options, "no_ack": True})


class BellApp(Celery):
    """A Celery application whose messages are bells."""

    amqp_cls = NoAck


def make_app(settings: LedgerSettings) -> Celery:
    """The Celery application that those who ring and those who listen share."""
    app = BellApp("boxyard", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        broker_transport=queue_transport(urlsplit(settings.redis_url).scheme),
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        broker_connection_retry_on_startup=True,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_transport_options={
            # One list a queue, named like it, so that bells can be counted.
            "priority_steps": [0],
            "health_check_interval": _OVERDUE_S,
            **socket_options(settings),
        },
        broker_use_ssl=tls_options(settings) or None,
    )
    return app


def count_missing(*, ready: int, bells: int, chunk: int, max_bells: int) -> int:
    """How many bells a queue lacks: one for each chunk of ready jobs, up to a bound."""
    return max(0, min(max_bells, math.ceil(ready / chunk)) - bells)


class Bells:
    """Rings for models."""

    def __init__(self, connection: Connection, settings: LedgerSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._app = make_app(settings)
        self._app.conf.broker_transport_options |= _TRY_TWICE

    def missing(self, model: str) -> int:
        """How many bells the model's queue lacks."""
        *waiting, bells = self._connection.commands(
            *(("ZCARD", keys.ready(model, priority)) for priority in Priority),
            ("LLEN", detect_queue(model)),
        )
        return count_missing(
            ready=sum(waiting),
            bells=bells,
            chunk=self._settings.chunk_images,
            max_bells=self._settings.max_bells,
        )

    def ring(self, model: str) -> bool:
        """Rings once when a bell is missing.

        A ring that fails is logged, never raised: the job is safe and the sweeper rings again.

        Returns:
            Whether it rang.
        """
        try:
            if not self.missing(model):
                return False
            self._send(model)
        except (Unavailable, SetupError) as error:
            _log.warning("bell-not-rung", model=model, error=str(error))
            return False
        return True

    def ring_missing(self, model: str) -> int:
        """Rings every missing bell; returns how many.

        Raises:
            Unavailable: the broker is away.
        """
        missing = self.missing(model)
        for _ in range(missing):
            self._send(model)
        return missing

    def _send(self, model: str) -> None:
        try:
            self._app.send_task(
                DETECT_TASK,
                kwargs=Bell(model=model).model_dump(),
                queue=detect_queue(model),
                ignore_result=True,
                retry=True,
                retry_policy=_TRY_TWICE,
            )
        # kombu tries again on a channel that it closed with its line: an AttributeError of its own.
        except (OperationalError, redis.RedisError, OSError, AttributeError) as error:
            raise Unavailable(
                f"The broker is away: {error}", retry_after_s=RETRY_AFTER_S
            ) from error

    def close(self) -> None:
        """Closes the connections to the broker."""
        self._app.close()
