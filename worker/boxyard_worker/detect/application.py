"""The Celery side: a consumer of wake-ups in this process, without forks.

A wake-up is only a hint: one that is foreign or malformed is refused before Celery sees it, and one
that is lost is sent again by the sweeper.

One task runs at a time. It claims until nothing is ready, and meanwhile the other wake-ups stay in
Redis: other workers can take them, and producers count them and send no more than are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery import Celery
from celery.concurrency.thread import TaskPool
from celery.worker import state
from kombu.asynchronous import get_event_loop

from boxyard_ledger import make_app
from boxyard_schemas import DETECT_TASK, detect_queue
from boxyard_schemas.errors import Unavailable
from boxyard_worker.detect.transport import bell_transport
from boxyard_worker.settings import DetectSettings

log = structlog.get_logger(__name__)


class Consumer:
    """Reads one model's wake-ups and drains its ready jobs at each.

    Args:
        settings: the broker and the model.
        name: of the worker, for Celery's tools.
        drain: what a wake-up starts; returns how many jobs it claimed.
    """

    def __init__(self, settings: DetectSettings, name: str, drain: Callable[[], int]) -> None:
        self._drain = drain
        app = make_app(settings)
        app.task(name=DETECT_TASK, ignore_result=True)(self._run_task)
        self._controller = _controller(app, name, settings)

    def run(self) -> int:
        """Consumes until `stop`; a drain under way is finished. Returns an exit code."""
        self._controller.start()
        return int(self._controller.exitcode or 0)

    def stop(self, exit_code: int = 0) -> None:
        """Takes no more wake-ups; from any thread."""
        state.should_stop = exit_code
        _wake_event_loop()

    def _run_task(self, **wake_up: Any) -> int:
        try:
            return self._drain()
        except Unavailable as error:
            log.warning("bell.unanswered", detail=error.detail)
            return 0


class _Pool(TaskPool):
    """Celery's pool of threads, which wakes the event loop when a task has ended.

    With `worker_disable_prefetch` Celery reads no message while the pool is full, and looks
    whether it still is when its event loop turns: without this, at its next tick of a second.
    """

    def on_apply(self, *args: Any, **options: Any) -> Any:
        """Starts a task."""
        result = super().on_apply(*args, **options)
        result.f.add_done_callback(lambda _: _wake_event_loop())
        return result


def _wake_event_loop() -> None:
    if loop := get_event_loop():
        loop.call_soon(lambda: None)  # type: ignore[no-untyped-call] # kombu has no types


def _controller(app: Celery, name: str, settings: DetectSettings) -> Any:
    scheme = urlsplit(settings.redis_url).scheme
    app.conf.broker_transport = bell_transport(scheme, settings.model)
    app.conf.broker_connection_max_retries = None  # a broker that is away comes back
    app.conf.worker_redirect_stdouts = False
    app.conf.worker_hijack_root_logger = False
    app.finalize()
    return app.WorkController(
        app=app,
        hostname=name,
        pool=_Pool,
        concurrency=1,
        queues=[detect_queue(settings.model)],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        task_events=False,
    )
