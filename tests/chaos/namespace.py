"""A place with a network and an /etc/resolv.conf of its own, on a cable that can be cut.

Needs root: a network namespace, joined to this machine's by a pair of virtual cards.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from redis import Redis

T = TypeVar("T")
_libc = ctypes.CDLL(None)
_NOBODY = "02:00:00:00:00:01"
"""The address of a card that nobody has: what is sent there vanishes without a word."""


def missing() -> str | None:
    """Why this machine cannot make one, if it cannot."""
    if os.geteuid():
        return "only root makes network namespaces"
    lacking = [name for name in ("ip", "unshare", "nsenter") if not shutil.which(name)]
    return f"there is no {lacking[0]}" if lacking else None


def let_in(redis: Redis, space: Namespace) -> str:
    """Lets a Redis of this machine listen where the namespace reaches it; its URL there."""
    redis.config_set("protected-mode", "no")
    redis.config_set("bind", f"127.0.0.1 {space.outside}")
    return f"redis://{space.outside}:{redis.connection_pool.connection_kwargs['port']}/0"


class Namespace:
    """What `command` starts runs inside and reaches the outside by `outside` alone.

    Names are asked of `outside` too: start a `NameServer` there for those that are wanted.

    Args:
        folder: for its resolv.conf.
        addresses: further ones, of the loopback inside.
    """

    def __init__(self, folder: Path, *, addresses: tuple[str, ...] = ()) -> None:
        number = secrets.randbelow(2**14)
        network = f"10.{192 + number // 256}.{number % 256}"
        self.outside, self.inside = f"{network}.1", f"{network}.2"
        self._cards = f"box{number}o", f"box{number}i"
        self._addresses = addresses
        self._names = folder / "resolv.conf"
        self._names.write_text(f"nameserver {self.outside}\n")

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(["unshare", "--net", "--mount", "sleep", "infinity"])
        self._await_parting()
        try:
            self._lay_cable()
            inside = ["mount", "--bind", str(self._names), "/etc/resolv.conf"]
            subprocess.run(self.command(*inside), check=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.wait()
        # The cable goes with the namespace, but the kernel takes its time.
        subprocess.run(["ip", "link", "del", self._cards[0]], check=False, capture_output=True)

    def command(self, *words: str) -> list[str]:
        """The command that runs `words` inside; it becomes them, so the process id is theirs."""
        return ["nsenter", "--target", str(self._holder.pid), "--net", "--mount", "--", *words]

    def within(self, act: Callable[[], T]) -> T:
        """What `act` returns on a thread inside; the sockets that it makes stay there."""

        def enter_and_act() -> T:
            with open(f"/proc/{self._holder.pid}/ns/net") as network:
                assert _libc.setns(network.fileno(), 0) == 0, "setns was refused"
            return act()

        with ThreadPoolExecutor(1) as threads:  # nothing else ever runs on this one
            return threads.submit(enter_and_act).result()

    def cut(self) -> None:
        """Packets vanish both ways; no end is told."""
        outer, inner = self._cards
        poison = ("lladdr", _NOBODY, "nud", "permanent")
        self._ip("neigh", "replace", self.inside, *poison, "dev", outer)
        self._ip("neigh", "replace", self.outside, *poison, "dev", inner, inside=True)

    def heal(self) -> None:
        """The cable is whole again."""
        outer, inner = self._cards
        self._ip("neigh", "del", self.inside, "dev", outer)
        self._ip("neigh", "del", self.outside, "dev", inner, inside=True)

    def _lay_cable(self) -> None:
        outer, inner = self._cards
        self._ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        self._ip("link", "set", inner, "netns", str(self._holder.pid))
        self._ip("addr", "add", f"{self.outside}/30", "dev", outer)
        self._ip("link", "set", outer, "up")
        self._ip("addr", "add", f"{self.inside}/30", "dev", inner, inside=True)
        self._ip("link", "set", inner, "up", inside=True)
        self._ip("link", "set", "lo", "up", inside=True)
        for address in self._addresses:
            self._ip("addr", "add", address, "dev", "lo", inside=True)

    def _ip(self, *words: str, inside: bool = False) -> None:
        command = ["ip", *words]
        subprocess.run(self.command(*command) if inside else command, check=True)

    def _await_parting(self) -> None:
        """Until the holder has left this machine's namespaces."""
        end = time.monotonic() + 60
        here = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt")}
        while any(os.readlink(f"/proc/{self._holder.pid}/ns/{k}") == here[k] for k in here):
            assert time.monotonic() < end, "unshare made no namespace"
            time.sleep(0.01)
