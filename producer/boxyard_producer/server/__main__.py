"""`python -m boxyard_producer.server`."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
import time

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.datastructures import State

from boxyard_ledger import Ledger, LedgerSettings, StackGauges, exposed
from boxyard_ledger.refusals import is_loading
from boxyard_ledger.settings import describe_faults
from boxyard_schemas.errors import BoxyardError, Unavailable
from boxyard_schemas.variables import unknown_variables
from boxyard_schemas.words import changed

from . import ServerSettings, create_app
from .bootstrap import Bootstrap
from .connections import BoundedProtocol
from .logs import configure_logs
from .requests import RequestMeters

_LOADING_PAUSE_S = 2
_LINGER_S = 10
_WAITING = 2048
"""Connections that the kernel completes before they are accepted."""
_ACCEPTED_AT_ONCE = 32
"""asyncio accepts as many as its backlog is before it reads from any: of a great many at once the
first would be closed, to make room for the last, before their requests are seen."""
_OTHER_FILES = 256
"""Open files beside the clients' connections: Redis, blobs, logs."""


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                with socket.socket(fileno=os.dup(listening.fileno())) as same:
                    same.listen(_WAITING)

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
            app = create_app(settings, ledger)
            for warning in _prepare(ledger, app.state.bootstrap):
                log.warning("server.setup", detail=warning)
            _serve(app, ledger, arguments)
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
    return changed(settings, max_connections=fitting)


def _prepare(ledger: Ledger, bootstrap: Bootstrap) -> list[str]:
    warnings = _check_loaded(ledger)
    ledger.sealing.check()
    ledger.seal_clear()
    return warnings + bootstrap.apply()


def _check_loaded(ledger: Ledger) -> list[str]:
    """Checks Redis once it has loaded its file, which takes minutes where it is large."""
    while True:
        try:
            return ledger.check_server()
        except Unavailable as error:
            if not is_loading(error):
                raise
        structlog.get_logger("boxyard_producer.server").warning("redis.loading")
        time.sleep(_LOADING_PAUSE_S)


def _serve(app: FastAPI, ledger: Ledger, arguments: argparse.Namespace) -> None:
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
        # Else a request that came with the one before would be logged with that one's tenant.
        reset_contextvars=True,
        access_log=False,  # each request has a line of ours, with its tenant
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=_LINGER_S,
    )
    with exposed(ledger.registry, ledger.settings):
        _Server(config).run()


if __name__ == "__main__":
    sys.exit(main())
