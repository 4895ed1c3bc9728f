"""The model child: owns the device, merges pictures into device batches, knows nothing of jobs.

    reader thread: socket → inbox        main thread: inbox → batcher → detector → socket

It ends when its parent does, whichever way: the socket closes, and the kernel kills it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from boxyard_worker.detector import DetectorError, load_detector
from boxyard_worker.detector.batching import Batcher
from boxyard_worker.detector.contract import Detector, ModelImage, Pixels
from boxyard_worker.detector.errors import PromptError
from boxyard_worker.detector.messages import Done, Failed, Infer, Load, LoadFailed, Ready, Started
from boxyard_worker.signals import ignore_sent_faults

_PR_SET_PDEATHSIG = 1
_LONGEST = 300
"""Characters of what an exception says."""


def serve(socket: int, parent: int) -> None:
    """Runs the child.

    Args:
        socket: file descriptor of its end of the socket.
        parent: process id of the worker that it belongs to.
    """
    _die_with(parent)
    _prefer_being_killed()
    with suppress(EOFError, ConnectionError):  # the parent has gone, and so shall we
        _serve(Connection(socket))


def _serve(connection: Connection) -> None:
    load: Load = connection.recv()
    try:
        detector = _load(load)
        description = detector.describe()
    except DetectorError as error:
        connection.send(LoadFailed(str(error)))
        return
    except BaseException as error:  # whatever libraries and configurations raise, SystemExit too
        connection.send(LoadFailed(_describe(error), traceback.format_exc()))
        return
    ignore_sent_faults()
    connection.send(Ready(description))
    _Child(connection, detector, load).run()


def _describe(error: BaseException) -> str:
    """An exception that nobody foresaw, in one line."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"{said if len(said) <= _LONGEST else said[:_LONGEST] + '…'}. "
        "Check the model's configuration, weights and packages; with BOXYARD_LOG_LEVEL=debug the "
        "log has the traceback."
    )


class _Child:
    def __init__(self, connection: Connection, detector: Detector, load: Load) -> None:
        self._connection = connection
        self._detector = detector
        self._slots = load.slots
        self._inbox: queue.SimpleQueue[Infer] = queue.SimpleQueue()
        self._batcher: Batcher[tuple[int, ModelImage]] = Batcher(load.max_batch, load.max_wait_s)

    def run(self) -> None:
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while True:
            self._sort_in(self._batcher.due_in(time.monotonic()))
            if batch := self._batcher.take(time.monotonic()):
                self._detect(batch)

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, OSError):
            # The parent is gone: nobody waits for what is on the device.
            os._exit(0)

    def _sort_in(self, wait_s: float | None) -> None:
        """Moves what has come into the batcher; waits for the first at most `wait_s`."""
        try:
            message = self._inbox.get(timeout=wait_s)
            while True:
                pixels = _map(self._slots[message.slot], message.shape)
                image = replace(message.image, pixels=pixels)
                self._batcher.put(
                    (message.id, image), self._group(message, image), time.monotonic()
                )
                message = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _group(self, message: Infer, image: ModelImage) -> Hashable:
        if not message.alone:
            try:
                return self._detector.group(image)
            except Exception as error:  # the picture's own batch will meet it again, and say so
                _check_device(error)
        return "alone", message.id

    def _detect(self, batch: list[tuple[int, ModelImage]]) -> None:
        self._connection.send(Started(tuple(number for number, _ in batch)))
        try:
            found = self._detector.detect([image for _, image in batch])
        except PromptError as error:  # the prompt is one for all of a batch
            for number, _ in batch:
                self._connection.send(Failed(number, str(error), error.code))
            return
        except Exception as error:  # whatever the model raises is said, not survived in silence
            self._explain(batch, error)
            return
        for (number, _), detections in zip(batch, found, strict=True):
            self._connection.send(Done(number, detections))

    def _explain(self, batch: list[tuple[int, ModelImage]], error: Exception) -> None:
        _check_device(error)
        if len(batch) == 1:
            self._connection.send(Failed(batch[0][0], f"{type(error).__name__}: {error}"))
            return
        for each in batch:
            self._detect([each])


def _check_device(error: Exception) -> None:
    """Ends the process on an error that lost the device's context: only a new one gets another."""
    if "CUDA error" in str(error):
        raise error


def _load(load: Load) -> Detector:
    if load.detector == "standin":
        from boxyard_worker.detector.standin import StandIn  # noqa: PLC0415 - only when asked for

        return StandIn(load.model)
    return load_detector(
        load.model,
        device=load.device,
        weights=load.weights,
        random_weights=load.random_weights,
        config=load.config,
        classes=load.classes,
        language_model=load.language_model,
    )


def _map(slot: int, shape: tuple[int, int]) -> Pixels:
    """The picture in a slot, `(height, width, 3)`; writing to it changes a private copy."""
    height, width = shape
    memory = mmap.mmap(slot, height * width * 3, flags=mmap.MAP_PRIVATE)
    return np.frombuffer(memory, np.uint8).reshape(height, width, 3)


def _die_with(parent: int) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # meant for the parent, which drains first
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # it died before we asked


def _prefer_being_killed() -> None:
    """When memory runs out, the kernel shall take the child and leave the parent."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return
