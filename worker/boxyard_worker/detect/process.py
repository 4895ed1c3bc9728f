"""One model child: a process, the socket to it, and a thread that writes to it.

A child that stands still reads nothing, and a socket holds only so much: nobody but that thread
shall ever wait for it.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import cast

from boxyard_worker.detector.messages import FromChild, Infer, Load

_FAREWELL_S = 5.0
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
"""Variables that torch, numpy and OpenCV read when they are imported."""


class ChildProcess:
    """Starts a child, which waits for a `Load`. All but `send` is for the owning thread.

    Args:
        slots: file descriptors that it inherits.
        visible_device: its CUDA_VISIBLE_DEVICES, or None to leave the variable alone. It must be
            set before torch is imported, hence here.
        threads: for what it computes on the CPU.
    """

    def __init__(
        self, slots: tuple[int, ...], visible_device: str | None, threads: int = 1
    ) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "boxyard_worker.detector", *self._arguments(theirs)],
                pass_fds=(theirs.fileno(), *slots),
                stdin=subprocess.DEVNULL,
                env=_environment(visible_device, threads),
            )
            self._connection = Connection(ours.detach())
        self.pid = self._process.pid
        self._outbox: queue.SimpleQueue[Load | Infer | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="model-writer", daemon=True)
        self._writer.start()

    def send(self, message: Load | Infer) -> None:
        """Sends, without waiting. To a dead child it goes nowhere: the owner will notice."""
        self._outbox.put(message)

    def _write(self) -> None:
        with suppress(OSError):
            while message := self._outbox.get():
                self._connection.send(message)

    def poll(self, timeout_s: float) -> bool:
        """Whether there is something to receive, the end included."""
        return self._connection.poll(timeout_s)

    def receive(self) -> FromChild | None:
        """The next message, or None when the child has closed its end."""
        try:
            return cast("FromChild", self._connection.recv())
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """Closes the socket, on which the child ends itself, and kills it if it does not."""
        self._hang_up()
        self._outbox.put(None)
        self._writer.join()
        self._connection.close()
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hang_up(self) -> None:
        """Ends what the writer may be waiting for."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    @property
    def status(self) -> int | None:
        """Exit status; negative for a signal."""
        return self._process.returncode

    @staticmethod
    def _arguments(theirs: socket.socket) -> tuple[str, str]:
        return str(theirs.fileno()), str(os.getpid())


def _environment(visible_device: str | None, threads: int) -> dict[str, str]:
    environment = {
        **os.environ,
        # A model's files are there or they are not; while serving, nothing is fetched.
        "HF_HUB_OFFLINE": "1",
        # Threads that wait for one another must not spin: decoders and neighbours need the core.
        "OMP_WAIT_POLICY": "PASSIVE",
        **dict.fromkeys(_THREADS, str(threads)),
    }
    if visible_device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible_device
    return environment
