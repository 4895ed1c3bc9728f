"""A Redis-compatible server of our own, for one machine and for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from boxyard_schemas.errors import SetupError

from .append_only import (
    BACKUP,
    BEGIN_ANEW,
    FOLDER,
    DamagedIncrement,
    base_bytes,
    check_files,
    increments,
    load_order,
)
from .cgroups import find_memory
from .redis_log import damaged_file, describe_loading, first_warning, truncations
from .redis_password import keep_password
from .redis_program import BECOME_SERVER, cpu_ticks, find_server, hold_port, in_use

_START_S = _STOP_S = 30.0
"""For a start: so long without any progress is a failure. A large file is loaded in minutes."""
_REPORT_S = 5.0
_LONG_INCREMENT = 64_000_000
"""Bytes of commands that are rewritten into a snapshot, which loads several times faster."""


class EmbeddedRedis:
    """A server on a port of its own of 127.0.0.1 that keeps every write in `data_dir`.

    It ends with the thread that started it, so start it from the main one.

    Args:
        data_dir: of this server alone.
        guarded: it asks for a password, which it keeps in `data_dir` for its owner's eyes: others
            who use this machine reach the port too.
        password: the one to use where the configuration in `data_dir` has none.
        expects_data: `data_dir` held data before; it is an error that it holds none.
        tell: takes a line for people about a start that is long or found something.
        give_up: asked while a start takes its time; true ends the wait, and the server is left
            to load until it is closed.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        guarded: bool = False,
        password: str | None = None,
        expects_data: bool = False,
        tell: Callable[[str], object] = lambda line: None,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._data_dir = data_dir
        self._guarded, self._expects_data = guarded, expects_data
        self._tell, self._give_up = tell, give_up
        self._password = password
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the password if it has one; the same after a restart."""
        guard = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{guard}127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server and waits until it has loaded its file and answers.

        Raises:
            SetupError: there is no server to start, it ended, or it made no progress for half a
                minute; with its log. Or its files are missing or damaged.
            DamagedIncrement: an increment is, which can be cut.
        """
        restart = bool(self._port)
        if not self._expects_data:  # else the folder is there, or it was moved away
            self._data_dir.mkdir(parents=True, exist_ok=True)
        self._port = self._port or hold_port(self)
        if not in_use(self._lock):  # else its files change meanwhile
            restored = check_files(self._data_dir, expected=self._expects_data)
            if restored:
                self._tell(restored)
        if self._guarded:
            # At a restart the clients have the password already: the file may not change it.
            self._password = keep_password(self.configuration, self._password, is_in_use=restart)
        before = increments(self._data_dir)
        try:
            # Redis would cut an increment that others follow, and load those at the next start.
            began = self._launch(cut_torn_end=len(before) < 2)
        except DamagedIncrement as error:
            if len(before) < 2 or error.name != list(before)[-1]:
                raise
            began = self._launch(cut_torn_end=True)
        self._expects_data = True
        self._report_cut(began, before)

    def _launch(self, *, cut_torn_end: bool) -> int:
        """Starts the process and waits until it has loaded; returns where its log begins."""
        become = ("-I", "-S", "-c", BECOME_SERVER, str(os.getpid()), str(self._lock))
        command = [sys.executable, *become, find_server()]
        if self._guarded:
            command.append(str(self.configuration))
        command += [*self._options(), "--aof-load-truncated", "yes" if cut_torn_end else "no"]
        with self.log.open("ab") as log:
            began = log.tell()
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # A Ctrl-C at the terminal is the parent's to handle: the server goes last.
                start_new_session=True,
            )
        self._wait(began)
        return began

    def kill(self) -> None:
        """Ends the server as a crash would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Ends the server cleanly."""
        self._end(signal.SIGTERM)

    @property
    def configuration(self) -> Path:
        """The file that holds the password of a guarded server; no list of processes shows it."""
        return self._data_dir / "redis.conf"

    @property
    def log(self) -> Path:
        """Where the server's own words are appended."""
        return self._data_dir / "redis.log"

    @property
    def _lock(self) -> Path:
        return self._data_dir / "server.lock"

    def _options(self) -> list[str]:
        return [
            *("--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._data_dir)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--appenddirname", FOLDER, "--appendfilename", "appendonly.aof"),
            *("--auto-aof-rewrite-percentage", "50"),
            # Beyond it writes are refused, instead of processes of the machine being killed.
            *("--maxmemory", str(find_memory() // 2), "--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
            # A job's record is a long value of a short hash: packed, it takes a quarter less.
            *("--hash-max-listpack-value", "1024"),
        ]

    def _wait(self, log_began: int) -> None:
        """Until the server answers, or the wait is given up."""
        seen, deadline, report = -1, time.monotonic() + _START_S, time.monotonic() + _REPORT_S
        at_once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=at_once) as client:
            while self.alive and time.monotonic() < deadline:
                facts = self._facts(client)
                if facts and not facts["loading"]:
                    self._rewrite_long_increment(client)
                    return
                if self._give_up():
                    return
                progress = int(facts.get("loading_loaded_bytes", 0)) + cpu_ticks(self.pid)
                if progress > seen:
                    seen, deadline = progress, time.monotonic() + _START_S
                if time.monotonic() > report:
                    report += _REPORT_S
                    self._tell(describe_loading(facts))
                time.sleep(0.02)
        self.kill()
        raise self._why_not(log_began)

    def _facts(self, client: redis.Redis) -> dict[str, Any]:
        """What the server says of itself; nothing while it, or another in its place, does not."""
        # Who asks for this very port may have been given it all the same.
        try:
            facts: dict[str, Any] = client.info()
        except (redis.ConnectionError, redis.TimeoutError):
            return {}
        return facts if facts["process_id"] == self.pid else {}

    def _rewrite_long_increment(self, client: redis.Redis) -> None:
        """Redis itself rewrites by growth since its start: many starts would let it grow on."""
        commands = sum(increments(self._data_dir).values())
        if commands > max(_LONG_INCREMENT, base_bytes(self._data_dir)):
            with suppress(redis.RedisError):  # a slow fork, or one that is under way
                client.bgrewriteaof()

    def _why_not(self, log_began: int) -> SetupError:
        said = self._log_since(log_began)
        order = load_order(self._data_dir)
        damaged = damaged_file(said, order, increments(self._data_dir))
        if damaged is None:
            return SetupError(f"The embedded Redis did not come up. Its log ends:\n{said[-2000:]}")
        path = self._data_dir / FOLDER / damaged
        if damaged != order[0]:
            return DamagedIncrement(path, "is damaged before its end")
        return SetupError(
            f"The snapshot {path} cannot be read ({first_warning(said)}), and it cannot be cut. "
            f"{BACKUP} {BEGIN_ANEW}"
        )

    def _report_cut(self, log_began: int, before: Mapping[str, int]) -> None:
        for name, offset in truncations(self._log_since(log_began)):
            self._tell(
                f"redis' file {name} ended in the middle of a write, as after a power cut: its "
                f"last {before.get(name, 0) - offset} bytes were dropped"
            )

    def _log_since(self, began: int) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(began)
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def _end(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
