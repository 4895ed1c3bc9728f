"""The one way to Redis: commands and scripts, its errors translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from boxyard_schemas.errors import SetupError, Unavailable

from .breaker import Breaker
from .link import find_fault, socket_options, tls_options
from .refusals import is_forbidden, is_wrong_type, translated
from .scripts import read_script
from .settings import LedgerSettings

Word = str | int | float

_MAX_CONNECTIONS = 1000
"""Of one process: more than it has threads, so that none is refused one."""
_FLAGGED = "#!lua flags=no-writes,allow-stale\nreturn 1"
"""As all scripts of ours, it names its flags, which a Redis before 7.0 cannot read."""


# redis-py leaves some of its methods untyped: hence the ignores.
class Connection:
    """A thread-safe pool of connections; it connects with the first command."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._settings = settings
        self._redis = redis.Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            # Bytes that are no UTF-8 fail no reader, and name the same entry when they go back.
            encoding_errors="surrogateescape",
            max_connections=_MAX_CONNECTIONS,
            **socket_options(settings),
            **tls_options(settings),
            # A pooled connection may have died since it was last used: that is worth one more
            # try. A server that answers too late is not: the caller waits for a 503.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._breaker = Breaker(self._redis.ping)

    def command(self, *words: Word) -> Any:
        """One command, its answer decoded."""
        with translated(), self._breaker.watched():
            try:
                return self._redis.execute_command(*words)  # type: ignore[no-untyped-call]
            except redis.ResponseError as error:
                if not is_wrong_type(error):
                    raise
        return self._run_past_wrong_type(words)

    def commands(self, *commands: Sequence[Word], atomic: bool = False) -> list[Any]:
        """Several commands in one exchange, their answers in order."""
        with (
            translated(),
            self._breaker.watched(),
            self._redis.pipeline(transaction=atomic) as pipeline,
        ):
            for words in commands:
                pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
            answers = pipeline.execute(raise_on_error=False)
            for error in answers:
                if isinstance(error, Exception) and not is_wrong_type(error):
                    raise error
        return [
            self._run_past_wrong_type(words) if is_wrong_type(answer) else answer
            for words, answer in zip(commands, answers, strict=True)
        ]

    def _run_past_wrong_type(self, words: Sequence[Word]) -> Any:
        """Runs a command again as if its key, which is of a wrong type, were not there."""
        answer = self.run("run_command", [], words)
        return {} if words[0] == "HGETALL" else answer

    def run(self, script: str, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """Runs `scripts/{script}.lua`."""
        sha, text = read_script(script)
        with translated(), self._breaker.watched():
            try:
                return self._redis.evalsha(sha, len(keys), *keys, *args)
            except redis.exceptions.NoScriptError:
                return self._redis.eval(text, len(keys), *keys, *args)

    @property
    def stalled(self) -> bool:
        """Whether commands are refused, because Redis is known to stall."""
        return self._breaker.stalled

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
            # The server's word that it stands.
            feed.get_message(timeout=self._settings.redis_timeout_s)
            return feed

    def check_server(self) -> list[str]:
        """Looks whether the server may forget what it was told.

        Returns:
            Warnings: what the server would lose in a crash.

        Raises:
            SetupError: it evicts keys when its memory is full, is too old, or the way to it is
                set up wrongly.
        """
        policy = self._first_word()
        # Not by its version: INFO is forbidden to the roles of deploy/users.acl.template.
        with translated(), self._breaker.watched():
            self._redis.eval(_FLAGGED, 0)
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

    def _first_word(self) -> str | None:
        self._breaker.check()  # to look for faults on the way takes its time too
        try:
            return self._configured("maxmemory-policy")
        except Unavailable as error:
            if fault := find_fault(self._settings):
                raise SetupError(fault) from error
            raise

    def _configured(self, name: str) -> str | None:
        with translated(), self._breaker.watched():
            try:
                answer = self._redis.config_get(name)
            except redis.ResponseError as error:
                if is_forbidden(error) or "unknown command" in str(error):
                    return None
                raise
        return answer.get(name)

    def close(self) -> None:
        """Closes every connection of the pool."""
        self._breaker.close()
        self._redis.close()
