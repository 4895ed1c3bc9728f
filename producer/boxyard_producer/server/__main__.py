"""`python -m boxyard_producer.server`."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys

import structlog
import uvicorn
from pydantic import ValidationError
from starlette.datastructures import State

from boxyard_ledger import Ledger, LedgerSettings, StackGauges, exposed
from boxyard_ledger.settings import describe_faults
from boxyard_schemas.errors import BoxyardError, SetupError
from boxyard_schemas.variables import unknown_variables

from . import ServerSettings, create_app
from .connections import BoundedProtocol
from .logs import configure_logs
from .requests import RequestMeters

_LINGER_S = 10
_OTHER_FILES = 256
"""Open files beside the clients' connections: Redis, blobs, logs."""


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Long polls would hold the server up: they are answered with how things stand.
        state: State = self.config.app.state  # type: ignore[union-attr]  # it is our app
        state.endings.release()
        state.lane.release()
        await super().shutdown(sockets)


def main() -> int:
    arguments = _read_arguments()
    configure_logs()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn drains first and then raises the signal again, which is for us to end well.
        signal.signal(number, lambda *_: sys.exit(0))
    log = structlog.get_logger("boxyard_producer.server")
    for warning in unknown_variables(os.environ):
        log.warning("server.setup", detail=warning)
    try:
        settings, ledger_settings = _fit_open_files(ServerSettings()), LedgerSettings()
    except ValidationError as error:
        for fault in describe_faults(error):
            log.error("server.refused", detail=fault)
        return 1
    try:
        with Ledger.open(ledger_settings) as ledger:
            for warning in _prepare(settings, ledger):
                log.warning("server.setup", detail=warning)
            _serve(settings, ledger, arguments)
    except BoxyardError as error:
        log.error("server.refused", detail=error.detail)
        return 1
    return 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m boxyard_producer.server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    return parser.parse_args()


def _fit_open_files(settings: ServerSettings) -> ServerSettings:
    """Raises this process' limit of open files, and keeps the connections below it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or settings.max_connections <= most - _OTHER_FILES:
        return settings
    fitting = max(most - _OTHER_FILES, most // 2)
    structlog.get_logger("boxyard_producer.server").warning(
        "server.setup",
        detail=f"BOXYARD_MAX_CONNECTIONS is {settings.max_connections}, but this process may have "
        f"{most} open files (`ulimit -Hn`): it takes {fitting} connections.",
    )
    return settings.model_copy(update={"max_connections": fitting})


def _prepare(settings: ServerSettings, ledger: Ledger) -> list[str]:
    warnings = ledger.check_server()
    ledger.sealing.check()
    ledger.seal_clear()
    return warnings + _bootstrap(settings, ledger)


def _bootstrap(settings: ServerSettings, ledger: Ledger) -> list[str]:
    """Lets the operator's key in; a warning when it is of no use since."""
    if not settings.api_key:
        return []
    if not settings.webhook_secret:
        raise SetupError("BOXYARD_API_KEY needs BOXYARD_WEBHOOK_SECRET beside it.")
    key = settings.api_key.get_secret_value()
    ledger.tenants.register(
        "default", api_key=key, webhook_secret=settings.webhook_secret.get_secret_value()
    )
    if ledger.api_keys.authenticate(key):
        return []
    return ["BOXYARD_API_KEY was revoked or rotated: it lets nobody in. Set another one."]


def _serve(settings: ServerSettings, ledger: Ledger, arguments: argparse.Namespace) -> None:
    app = create_app(settings, ledger)
    meters: RequestMeters = app.state.meters
    for collector in (meters.requests, meters.seconds, StackGauges(ledger.census.take)):
        ledger.registry.register(collector)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,  # each request has a line of ours, with its tenant
        server_header=False,
        timeout_graceful_shutdown=_LINGER_S,
    )
    with exposed(ledger.registry, ledger.settings):
        _Server(config).run()


if __name__ == "__main__":
    sys.exit(main())
