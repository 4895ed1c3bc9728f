"""An S3 server that checks signatures and keeps its objects: OpenStack Swift with one replica."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import time
from pathlib import Path

from ports import hold_port

KEEPER = ("yard:keeper", "secret-of-the-keeper")
GUEST = ("yard:guest", "secret-of-the-guest")
"""Access key and secret: the keeper may do everything, the guest nothing."""

_STORES = ("account", "container", "object")
_START_S = _STOP_S = 120.0

# Patient, for a busy machine: nobody mends a listing that was given up, and the proxy calls a
# bucket missing for a minute when the stores behind were busy ten times.
_SERVER = """
[DEFAULT]
bind_ip = {address}
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}
mount_check = false
workers = 0
conn_timeout = 20
node_timeout = 60
container_update_timeout = 60
error_suppression_limit = 1000000
"""
_STORE = """
[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""
# The S3 interface lists by the JSON of `listing_formats` and deletes many at once by `bulk`.
_PROXY = """
[pipeline:main]
pipeline = catch_errors listing_formats bulk s3api tempauth proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:bulk]
use = egg:swift#bulk

[filter:s3api]
use = egg:swift#s3api

[filter:tempauth]
use = egg:swift#tempauth
user_yard_keeper = {keeper} .admin
user_yard_guest = {guest}
"""
_CLUSTER = """
[swift-hash]
swift_hash_path_suffix = boxyard
"""
# Which keys are where: all on the one disk.
_RINGS = """
import sys
from swift.common.ring import RingBuilder

for name, port in zip(sys.argv[1::2], sys.argv[2::2]):
    ring = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
    ring.add_dev(
        dict(region=1, zone=1, weight=1, ip="127.0.0.1", port=int(port), device="disk")
    )
    ring.rebalance()
    ring.get_ring().save(f"{name}.ring.gz")
"""


class SwiftServer:
    """Four processes on loopback ports of their own that keep everything in `folder`.

    The folder must be on a file system with extended attributes; one that was used before goes on.
    `listen` is where others come in, `secret` the keeper's.
    """

    def __init__(
        self, folder: Path, listen: tuple[str, int] | None = None, secret: str = KEEPER[1]
    ) -> None:
        self._folder = folder
        self._secret = secret
        self._address, entrance = listen or ("127.0.0.1", hold_port())
        self._ports = {name: hold_port() for name in _STORES} | {"proxy": entrance}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where it listens; the same after a restart."""
        return f"http://127.0.0.1:{self._ports['proxy']}"

    def __enter__(self) -> SwiftServer:
        self._write_settings()
        self._write_rings()
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the processes and waits until they listen."""
        for name in self._ports:
            with self._log(name).open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    [Path(sys.executable).with_name(f"swift-{name}-server"), f"{name}.conf", "-v"],
                    cwd=self._folder,
                    stdout=log,
                    stderr=log,
                )
        for name in self._ports:
            self._await_listening(name)

    def stop(self) -> None:
        """Ends the processes at once."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(_STOP_S)
        self._processes.clear()

    def _write_settings(self) -> None:
        (self._folder / "disk").mkdir(exist_ok=True)
        (self._folder / "swift.conf").write_text(_CLUSTER)
        user = pwd.getpwuid(os.geteuid()).pw_name
        for name, port in self._ports.items():
            text = _SERVER + (_STORE if name in _STORES else _PROXY)
            text = text.format(
                name=name,
                address="127.0.0.1" if name in _STORES else self._address,
                port=port,
                user=user,
                folder=self._folder,
                keeper=self._secret,
                guest=GUEST[1],
            )
            (self._folder / f"{name}.conf").write_text(text)

    def _write_rings(self) -> None:
        places = [word for name in _STORES for word in (name, str(self._ports[name]))]
        subprocess.run([sys.executable, "-c", _RINGS, *places], cwd=self._folder, check=True)

    def _await_listening(self, name: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._processes[name].poll() is None:
            with socket.socket() as probe:
                # From another address: a probe may be given the very port, and would meet itself.
                probe.bind(("127.0.0.2", 0))
                if probe.connect_ex(("127.0.0.1", self._ports[name])) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"Swift's {name} server is not up: {self._log(name).read_text()}")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
