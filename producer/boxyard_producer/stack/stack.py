"""The stack: started in order, watched, stopped together."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Self

from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import changed

from .commands import plan_services, share_environment
from .credentials import Credentials
from .environment import keep_environment, kept_password
from .extras import check_installed
from .readiness import Readiness
from .settings import StackSettings, claim_port
from .supervisor import Supervisor

_SERVER_S, _MODEL_S = 180.0, 600.0
_LOOK_S = 0.1
_MODEL_LOOK_S = 0.5
"""Each look is a line in the server's log."""


class Stack:
    """Redis, the server, one detect worker, deliver and sweep, as children of this process.

    Start it from the main thread: children end with the thread that started them.

    Args:
        settings: how it was called.
        tell: takes one line for people about what happens.
    """

    def __init__(self, settings: StackSettings, tell: Callable[[str], None]) -> None:
        self.settings, self._tell = settings, tell
        self.stopping = threading.Event()
        self._lock: IO[str] | None = None
        self._supervisor: Supervisor | None = None

    def start(self) -> Credentials:
        """Start everything; return when the model is warm or `stopping` is set.

        Raises:
            SetupError: a part is missing, the port or the data directory is taken, or a process
                ended while it started.
        """
        check_installed()
        from . import embedded  # noqa: PLC0415 - it needs what was just checked

        self._prepare()
        credentials = self._keep_credentials()
        expected = self._had_ledger(credentials)
        redis = embedded.open_redis(
            self.settings, self._tell, self.stopping.is_set, expects_data=expected
        )
        self._supervisor = Supervisor(
            [],
            redis,
            self._tell,
            log_bytes=self.settings.log_bytes,
            redis_files=embedded.watch_files(redis, self._tell) if redis else None,
        )
        if self.stopping.is_set():
            return credentials
        url = redis.url if redis else str(self.settings.redis_url)
        where = f"in {redis.configuration.parent}" if redis else "as BOXYARD_REDIS_URL says"
        self._tell(f"redis {where}")
        if redis:
            ledger = embedded.confirm_ledger(
                redis, credentials.ledger, self._tell, expected=expected
            )
            credentials = changed(credentials, ledger=ledger)
            credentials.write(self.settings.data)
        if self.settings.new_credentials:
            embedded.forget_webhook_secret(url)
        keep_environment(self.settings.data, share_environment(self.settings, url), credentials)
        self._supervisor.services = plan_services(self.settings, url, credentials)
        self._supervisor.start()
        self._await(self._supervisor, credentials)
        return credentials

    def watch(self) -> None:
        """Start again what dies, until `stopping` is set."""
        while self._supervisor and not self.stopping.wait(_LOOK_S):
            self._supervisor.tend()

    def stop(self) -> None:
        """Stop every process; nothing is left running."""
        if self._supervisor:
            self._supervisor.stop()
        if self._lock:
            self._lock.close()

    def _prepare(self) -> None:
        self._lock = _hold(_make(self.settings.data))
        port = claim_port(self.settings.host, self.settings.port)
        self.settings = replace(self.settings, port=port)

    def _keep_credentials(self) -> Credentials:
        data, url = self.settings.data, self.settings.url
        if self.settings.new_credentials:
            fresh = Credentials.create(url)
            fresh.write(data)
            return fresh
        try:
            Credentials.find(data)
        except SetupError:
            kept = Credentials.keep(data, url)
            self._tell(
                f"credentials.json in {data} was damaged: it has the keys of the last start again, "
                "and what was in it is in credentials.json.damaged"
            )
            return kept
        return Credentials.keep(data, url)

    def _had_ledger(self, credentials: Credentials) -> bool:
        """Whether this directory's Redis held a ledger before, as far as anything else shows it."""
        if self.settings.new_ledger:
            return False
        data = self.settings.data
        store = data / "blobs" / ".boxyard-store"
        return bool(credentials.ledger or kept_password(data)) or store.exists()

    def _await(self, supervisor: Supervisor, credentials: Credentials) -> None:
        model, device = self.settings.model, self.settings.device
        (detect,) = (each for each in supervisor.services if each.name == "detect")
        readiness = Readiness(credentials, model, detect.pid)
        self._wait(supervisor, readiness.server, "server", _SERVER_S, _LOOK_S)
        self._tell(f"server at {self.settings.url}")
        self._tell(f"detect is loading {model} on {device}")
        self._wait(supervisor, readiness.model, "detect", _MODEL_S, _MODEL_LOOK_S)

    def _wait(
        self,
        supervisor: Supervisor,
        ready: Callable[[], bool],
        name: str,
        limit_s: float,
        look_s: float,
    ) -> None:
        deadline = time.monotonic() + limit_s
        while not ready() and not self.stopping.wait(look_s):
            supervisor.check()
            if time.monotonic() > deadline:
                log = self.settings.data / "logs" / f"{name}.log"
                raise SetupError(f"{name} was not ready after {limit_s:.0f} s: see {log}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _make(data: Path) -> Path:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"{data} cannot be a folder of yours: {error.strerror}. Name another one by --data."
        ) from error
    return data


def _hold(data: Path) -> IO[str]:
    """A lock on the data directory, held until the file is closed or the process ends."""
    file = (data / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise SetupError(f"Another `boxyard up` uses {data}: give this one its own --data.") from (
            error
        )
    return file
