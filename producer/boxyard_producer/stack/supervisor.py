"""Processes kept alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from boxyard_schemas.errors import SetupError

from .logs import Log
from .service import Service, describe_exit
from .settings import StackSettings

if TYPE_CHECKING:
    from boxyard_ledger.embedded import EmbeddedRedis
    from boxyard_ledger.kept_files import KeptFiles

_REDIS_PAUSE_S = 1.0
"""Between its starts; the rest waits for it, so that the pause does not grow."""


class Supervisor:
    """Starts services, starts again what dies, and stops them together.

    Args:
        services: not yet started.
        redis: the embedded server under them, running; none where it is the operator's.
        tell: takes one line for people about what happens.
        patience_s: how long a service may take to stop.
        redis_files: restores the files of `redis`; none where it is the operator's.
        log_bytes: a log that grew beyond it is begun anew, and kept as `NAME.1` until the next.
    """

    def __init__(
        self,
        services: Sequence[Service],
        redis: EmbeddedRedis | None,
        tell: Callable[[str], None],
        patience_s: float = 20.0,
        log_bytes: int = StackSettings.log_bytes,
        *,
        redis_files: KeptFiles | None = None,
    ) -> None:
        self.services, self.redis, self._tell = services, redis, tell
        self._patience_s, self._log_bytes = patience_s, log_bytes
        self._redis_log = Log(redis.log) if redis else None
        self._redis_files = redis_files
        self._redis_problem = ""
        """Why the last start of Redis failed; reported once."""
        self._due: dict[str, float] = {}

    def start(self) -> None:
        """Start every service."""
        for service in self.services:
            service.start()

    def check(self) -> None:
        """While the stack starts, a death is a mistake in its set-up and not an accident.

        Raises:
            SetupError: with the end of the log of the service that ended.
        """
        for service in self.services:
            status = service.ended()
            if status is not None:
                raise SetupError(
                    f"{service.name} ended with {describe_exit(status)} while it started. "
                    f"{service.log} ends:\n{service.last_words()}"
                )

    def tend(self) -> None:
        """Start again what has died and whose pause is over; keep the logs short."""
        if self.redis and self._redis_log:
            self._redis_log.tend(self.redis.pid, self._log_bytes)
            if self._redis_files:
                self._redis_files.tend()
            if not self.redis.alive:
                self._revive(self.redis)
        for service in self.services:
            service.tend_log(self._log_bytes)
            self._tend(service)

    def stop(self) -> None:
        """Ask all to stop, kill what has not when patience ends; Redis last."""
        for service in self.services:
            service.ask_to_stop()
        deadline = time.monotonic() + self._patience_s
        for service in self.services:
            if not service.wait(deadline):
                self._tell(f"{service.name} did not stop in time: killed")
            service.kill()
        if self.redis:
            self.redis.close()

    def _revive(self, redis: EmbeddedRedis) -> None:
        now = time.monotonic()
        if now < self._due.get("redis", now):
            return
        self._due["redis"] = now + _REDIS_PAUSE_S
        if not self._redis_problem:
            self._tell("redis ended; starting it again")
        before, self._redis_problem = self._redis_problem, ""
        try:
            redis.start()
        except SetupError as error:  # a full disk, say: space may come back
            self._redis_problem = error.detail
        except OSError as error:
            self._redis_problem = f"redis cannot be started: {error}"
        if self._redis_problem not in ("", before):
            self._tell(self._redis_problem)

    def _tend(self, service: Service) -> None:
        now = time.monotonic()
        status = service.ended()
        if status is not None:
            pause_s = service.bury()
            self._due[service.name] = now + pause_s
            self._tell(
                f"{service.name} ended with {describe_exit(status)}; "
                f"starting it again in {pause_s:.1f} s"
            )
        elif service.pid is None and now >= self._due.get(service.name, now):
            self._start_again(service, now)

    def _start_again(self, service: Service, now: float) -> None:
        try:
            service.start()
        except OSError as error:  # no memory, or the data directory is away: it may come back
            self._due[service.name] = now + service.pause()
            self._tell(f"{service.name} cannot be started: {error}")
