"""The Celery side: a consumer of bells in this process, without forks.

A bell is only a hint: one that is foreign or malformed is refused before Celery sees it, and one
that is lost is rung again by the sweeper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery import Celery
from celery.worker import state

from boxyard_ledger import make_app
from boxyard_schemas import DETECT_TASK, detect_queue
from boxyard_schemas.errors import Unavailable
from boxyard_worker.detect.chunk import Summary
from boxyard_worker.detect.transport import bell_transport
from boxyard_worker.settings import DetectSettings

log = structlog.get_logger(__name__)


class Consumer:
    """Listens for one model's bells and runs a chunk for each.

    Args:
        settings: the broker, the model and how many chunks at once.
        name: of the worker, for Celery's tools.
        run_chunk: what a bell sets off.
    """

    def __init__(
        self, settings: DetectSettings, name: str, run_chunk: Callable[[], Summary]
    ) -> None:
        self._run_chunk = run_chunk
        app = make_app(settings)
        app.task(name=DETECT_TASK, ignore_result=True)(self._hear)
        self._controller = _controller(app, name, settings)

    def run(self) -> int:
        """Consumes until told to stop; chunks in flight are finished. Returns an exit code."""
        self._controller.start()
        return int(self._controller.exitcode or 0)

    def stop(self, exit_code: int = 0) -> None:
        """Takes no more bells. Safe in signal handlers and from any thread."""
        state.should_stop = exit_code

    def _hear(self, **bell: Any) -> Summary:
        try:
            return self._run_chunk()
        except Unavailable as error:
            log.warning("bell.unanswered", detail=error.detail)
            return {}


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
        pool="threads",
        concurrency=settings.chunks_in_flight,
        queues=[detect_queue(settings.model)],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        task_events=False,
    )
