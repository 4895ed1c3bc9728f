"""`/metrics` of one process, on a port of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from boxyard_schemas.errors import SetupError

from .settings import LedgerSettings

_log = structlog.get_logger(__name__)


@contextmanager
def exposed(registry: CollectorRegistry, settings: LedgerSettings) -> Iterator[None]:
    """Serves a registry to Prometheus meanwhile, if `metrics_port` says so.

    Raises:
        SetupError: the address cannot be listened on.
    """
    if settings.metrics_port is None:
        yield
        return
    host, port = settings.metrics_host, settings.metrics_port
    # Each counter would have a twin that says since when it counts.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SetupError(
            f"BOXYARD_METRICS_PORT: {host}:{port} cannot be listened on: {error.strerror}."
        ) from error
    _log.info("metrics.served", host=host, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
