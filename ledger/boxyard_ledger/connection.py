"""The one way to Redis: commands and scripts, its errors translated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from boxyard_schemas.errors import SetupError, Unavailable

from .breaker import Breaker
from .scripts import read_script
from .settings import LedgerSettings

_RETRY_AFTER_S = 5
_UNFIT = ("MISCONF", "OOM", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN")

Word = str | int | float


@contextmanager
def translated() -> Iterator[None]:
    """Turns Redis' ways to refuse or to be away into `Unavailable`.

    Raises:
        Unavailable: the server is away, slow, full, read-only or loading.
        SetupError: it wants another password.
    """
    try:
        yield
    except redis.AuthenticationError as error:
        raise SetupError(f"Redis refuses the password of BOXYARD_REDIS_URL: {error}") from error
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
        raise _unavailable(error) from error
    except redis.ResponseError as error:
        if isinstance(error, redis.OutOfMemoryError) or str(error).startswith(_UNFIT):
            raise _unavailable(error) from error
        raise


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"Redis cannot take work now: {error}", retry_after_s=_RETRY_AFTER_S)


# redis-py leaves some of its methods untyped: hence the ignores.
class Connection:
    """A thread-safe pool of connections; it connects with the first command."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._timeout_s = settings.redis_timeout_s
        self._redis = redis.Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
            # A pooled connection may have died since it was last used: that is worth one more
            # try. A server that answers too late is not: the caller waits for a 503.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._breaker = Breaker(self._redis.ping)

    def command(self, *words: Word) -> Any:
        """One command, its answer decoded."""
        with translated(), self._breaker.watched():
            return self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    def commands(self, *commands: Sequence[Word], atomic: bool = False) -> list[Any]:
        """Several commands in one exchange, their answers in order."""
        with (
            translated(),
            self._breaker.watched(),
            self._redis.pipeline(transaction=atomic) as pipeline,
        ):
            for words in commands:
                pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def run(self, script: str, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """Runs `scripts/{script}.lua`."""
        sha, text = read_script(script)
        with translated(), self._breaker.watched():
            try:
                return self._redis.evalsha(sha, len(keys), *keys, *args)
            except redis.exceptions.NoScriptError:
                return self._redis.eval(text, len(keys), *keys, *args)

    def now_ms(self) -> int:
        """Redis' clock, in milliseconds since 1970: the one that leases and schedules go by."""
        seconds, microseconds = self.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    def subscribe(self, channel: str) -> redis.client.PubSub:
        """A subscription of its own connection; it stands when this returns."""
        with translated():
            feed: redis.client.PubSub = self._redis.pubsub(  # type: ignore[no-untyped-call]
                ignore_subscribe_messages=True
            )
            feed.subscribe(channel)
            feed.get_message(timeout=self._timeout_s)  # the server's word that it stands
            return feed

    def check_server(self) -> list[str]:
        """Looks whether the server may forget what it was told.

        Returns:
            Warnings: what the server would lose in a crash.

        Raises:
            SetupError: it evicts keys when its memory is full.
        """
        policy = self._configured("maxmemory-policy")
        if policy not in (None, "noeviction"):
            raise SetupError(
                f"Redis evicts jobs when its memory is full (maxmemory-policy is {policy}). "
                "Mend it with `CONFIG SET maxmemory-policy noeviction`, and in its configuration."
            )
        appendonly, appendfsync = self._configured("appendonly"), self._configured("appendfsync")
        if policy is None:
            return ["Redis forbids CONFIG: whether it evicts and syncs could not be checked."]
        if appendonly != "yes":
            return ["Redis keeps no append-only file: a restart loses jobs. Set appendonly yes."]
        if appendfsync != "always":
            return [
                f"Redis syncs {appendfsync}: a power cut loses accepted jobs. "
                "Set appendfsync always."
            ]
        return []

    def _configured(self, name: str) -> str | None:
        try:
            answer: dict[str, str] = self.command("CONFIG", "GET", name)
        except redis.ResponseError:
            return None
        return answer.get(name)

    def close(self) -> None:
        """Closes every connection of the pool."""
        self._breaker.close()
        self._redis.close()
