"""What a loop looks at before it begins."""

from __future__ import annotations

import structlog

from boxyard_ledger import Ledger
from boxyard_schemas.errors import ServiceError

_log = structlog.get_logger()


def check_redis(ledger: Ledger) -> None:
    """Warns of a Redis that may lose jobs in a crash. One that is away is the loop's to wait for.

    Raises:
        SetupError: Redis evicts, or the way to it is set up wrongly.
    """
    try:
        for warning in ledger.check_server():
            _log.warning("redis is unsafe", detail=warning)
    except ServiceError as error:
        _log.warning("the ledger is away", why=error.detail)
