"""Logs: one JSON object a line on standard error."""

from __future__ import annotations

import logging

import structlog

from boxyard_schemas.errors import SetupError


def configure_logs(level: str = "info") -> None:
    """Sends structlog's and the standard library's logs to standard error as JSON.

    Args:
        level: the least severe that is written: `debug`, `info`, `warning` or `error`.

    Raises:
        SetupError: it is none of these.
    """
    chosen = logging.getLevelNamesMapping().get(level.upper())
    if chosen is None:
        raise SetupError(f"The log level {level!r} is none of debug, info, warning and error.")
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    # What Celery and redis-py say below `info` is about themselves.
    logging.basicConfig(level=max(chosen, logging.INFO), handlers=[handler], force=True)
    for package in ("boxyard_worker", "boxyard_ledger"):
        logging.getLogger(package).setLevel(chosen)
    # Two lines for each wake-up, of which every job may have one, and nothing of the job in them.
    for module in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(module).setLevel(max(chosen, logging.WARNING))
