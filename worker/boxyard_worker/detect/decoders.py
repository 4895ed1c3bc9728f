"""The decoder children as the parent sees them: one picture each, and a new one for one that died.

OpenCV decodes, as mmcv does, so the pixels are the same to the last bit: BGR, 8 bits, upright by
the EXIF orientation, the first frame only. Greyscale and palette become colour, CMYK is converted,
16 bits are shifted down to 8, and alpha is dropped, not blended; but a TIFF is laid on black.

An image is blamed for what it did alone in a child that had CPU time: for CPU seconds beyond the
deadline at once; for a crash, or a child that sleeps past the deadline, when it happens again. A
child that was killed from outside, stopped or starved, or that never started, says nothing about
its image, which is tried again.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boxyard_schemas.errors import Permanent
from boxyard_worker.decoder.header import Header
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detector.contract import Pixels, ResizePlan

_MEMORIES = ("picture", "pixels")
"""What a decoder shares with this process: the file, and what it makes of it."""
_TRIES = 2
"""So many crashes or hangs over one image are the image's."""
_FAULTS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGABRT,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGXCPU,
    }
)
"""Signals that a process brings on itself; any other one came from outside."""
_PATIENCE_S = 20.0
"""How long an image is tried again after deaths that it did not cause; then its job is."""
_PAUSES_S = 0.05, 1.0
"""Between such tries: at first, and at most."""
_STARVED = 6
"""So many deadlines without the CPU time of one: the child was stopped or starved."""
_LOOK_S = 0.5
"""Between looks at a child that has not answered; an answer is read at once."""
_EXIT_S = 5.0
"""For a child that has closed its socket to end by itself, which shows what ended it."""
_START_S = 60.0
"""For a child to begin; a picture's own time counts from then on."""
_ANSWER_BYTES = 4096
_KEPT_BYTES = 8 << 20
"""Of each file between pictures: fresh memory costs more time than most pictures' copies."""
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG")
"""Of the environment; the rest holds secrets."""


def memory_of(data: bytes, header: Header) -> int:
    """Bytes that decoding a picture may take in the child; more are not given.

    The costliest honest pictures are progressive JPEGs in four colours: 11 bytes a pixel.
    """
    return (24 << 20) + 3 * len(data) + 12 * header.width * header.height


class Decoded(NamedTuple):
    """A picture: `(height, width, 3)`, uint8, BGR, upright, and its size before it was resized."""

    pixels: Pixels
    width: int
    height: int


class DecoderDied(Exception):
    """The child ended, on a picture or before its first; says how.

    Attributes:
        reason: what the image is blamed for when it happens again; empty when it is not.
    """

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


class Decoders:
    """A pool of decoder children, started when they are needed.

    Args:
        count: how many at once.
        max_pixels: no picture has more, whatever its header says.
        deadline_s: CPU time for one picture, seconds; and the time that its child may sleep.
    """

    def __init__(self, count: int, *, max_pixels: int, deadline_s: float) -> None:
        self._max_pixels = max_pixels
        self._deadline_s = deadline_s
        self._idle: queue.LifoQueue[Decoder | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)

    def decode(self, data: bytes, memory: int, plan: ResizePlan | None = None) -> Decoded:
        """Decodes a picture, and resizes it.

        Args:
            data: the file's bytes.
            memory: bytes that it may take.
            plan: None to leave its size.

        Raises:
            Permanent: `undecodable-image`, `too-much-memory`, `decode-deadline`, or `crashed`.
            DecoderDied: again and again, and not by the picture's doing.
        """
        faults, end, (pause, longest) = 0, awake_s() + _PATIENCE_S, _PAUSES_S
        while True:
            try:
                with self._borrow() as decoder:
                    return decoder.decode(data, memory, plan)
            except DecoderDied as died:
                faults += bool(died.reason)
                if faults >= _TRIES:
                    detail = f"The picture ended the decoder's process ({died})."
                    raise Permanent(died.reason, detail) from died
                if awake_s() > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def close(self) -> None:
        """Ends the idle children; none may be at work."""
        while True:
            try:
                decoder = self._idle.get_nowait()
            except queue.Empty:
                return
            if decoder:
                decoder.end()

    @contextmanager
    def _borrow(self) -> Iterator[Decoder]:
        decoder = self._idle.get()
        try:
            decoder = decoder or self._begin()
            yield decoder
        finally:
            self._idle.put(decoder if decoder and decoder.alive else None)

    def _begin(self) -> Decoder:
        try:
            return Decoder(self._max_pixels, self._deadline_s)
        except OSError as error:  # no memory, files or processes are left: not the image's doing
            raise DecoderDied(f"it cannot be started: {error.strerror}") from error


class Decoder:
    """One child, which is ready; for one thread at a time.

    Raises:
        DecoderDied: it does not begin.
    """

    def __init__(self, max_pixels: int, deadline_s: float) -> None:
        self._max_pixels = max_pixels
        self._deadline_s = deadline_s
        with ExitStack() as opened:
            self._source, self._target = (_open_memory(name, opened) for name in _MEMORIES)
            # Whole messages or none: half a one would be waited for past every deadline.
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.callback(self._socket.close)
            self._process = self._start(theirs)
            self._close = opened.pop_all().close
        self.pid = self._process.pid
        self.alive = True
        self._await_start()

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        with theirs:
            files = (theirs.fileno(), self._source, self._target)
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "boxyard_worker.decoder", *map(str, files)],
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                env=_environment(self._max_pixels),
            )

    def _await_start(self) -> None:
        # What a busy machine takes to start a process is no fault of the picture that waits for it.
        self._socket.settimeout(_START_S)
        try:
            begun = self._socket.recv(_ANSWER_BYTES)
        except OSError:
            begun = b""
        if not begun:
            self.end()
            raise DecoderDied(f"status {self._process.returncode}, before it began")

    def decode(self, data: bytes, memory: int, plan: ResizePlan | None = None) -> Decoded:
        """See `Decoders.decode`.

        Raises:
            DecoderDied: the child ended.
        """
        try:
            _write(self._source, data)
            return self._take(self._ask(len(data), memory, plan))
        except Permanent:
            raise
        except BaseException:  # what it is doing, nobody knows
            self.end()
            raise
        finally:
            if self.alive:
                _cut_back(self._source)
                _cut_back(self._target)

    def _ask(self, size: int, memory: int, plan: ResizePlan | None) -> dict[str, Any]:
        order = {
            "bytes": size,
            "memory": memory,
            "seconds": 2 * math.ceil(self._deadline_s),
            "plan": asdict(plan) if plan else None,
        }
        try:
            self._socket.send(json.dumps(order).encode())
            answer = self._await_answer()
        except OSError:  # it has hung up
            answer = b""
        if not answer:
            raise self._find_cause()
        try:
            return dict(json.loads(answer))
        except ValueError as error:
            raise DecoderDied("it gave no readable answer", "crashed") from error

    def _await_answer(self) -> bytes:
        began, used = awake_s(), _usage(self.pid).cpu_s
        while True:
            overdue = self._overdue(awake_s() - began, used)
            # Read after the look, so that an answer that came meanwhile counts.
            self._socket.settimeout(0 if overdue else _LOOK_S)
            try:
                return self._socket.recv(_ANSWER_BYTES)
            except (TimeoutError, BlockingIOError):
                if overdue:
                    self.end()
                    raise overdue from None

    def _overdue(self, waited_s: float, used_s: float) -> Exception | None:
        """Why the child is to be ended, if it is."""
        limit, usage = self._deadline_s, _usage(self.pid)
        if usage.cpu_s - used_s > limit:
            return Permanent(
                "decode-deadline", f"Decoding the picture took more than {limit:g} s of CPU time."
            )
        if waited_s > limit and usage.state == "S":
            return DecoderDied(f"it slept for {limit:g} s", "decode-deadline")
        if waited_s > _STARVED * limit:
            return DecoderDied(f"it was stopped or starved for {_STARVED * limit:g} s")
        return None

    def _find_cause(self) -> DecoderDied:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_S)
        self.end()
        status = self._process.returncode
        fault = status >= 0 or -status in _FAULTS
        return DecoderDied(f"status {status}", "crashed" if fault else "")

    def _take(self, answer: dict[str, Any]) -> Decoded:
        if "error" in answer:
            detail = f"The picture cannot be decoded. {answer['detail']}"
            raise Permanent(str(answer["error"]), detail)
        for height, width in (answer["size"], answer["shape"]):
            if height * width > self._max_pixels:
                raise too_many_pixels(width, height, self._max_pixels)
        pixels = np.empty((*answer["shape"], 3), np.uint8)
        _read(self._target, pixels)
        height, width = answer["size"]
        return Decoded(pixels, width, height)

    def end(self) -> None:
        """Kills the child: it has nothing to finish."""
        if not self.alive:
            return
        self.alive = False
        self._process.kill()
        self._process.wait()
        self._close()


def _open_memory(name: str, opened: ExitStack) -> int:
    descriptor = os.memfd_create(name)
    opened.callback(os.close, descriptor)
    return descriptor


class _Usage(NamedTuple):
    """The state of a process as in proc(5), and its CPU time in seconds."""

    state: str
    cpu_s: float


def _usage(pid: int) -> _Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _Usage(fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def too_many_pixels(width: int, height: int, allowed: int) -> Permanent:
    """The error of a picture that is too large."""
    return Permanent(
        "too-many-pixels", f"The picture has {width}x{height} pixels; at most {allowed} are read."
    )


def _environment(max_pixels: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | {
        # OpenCV reads it once, when it is imported.
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(max_pixels),
        # Large blocks go back to the kernel as soon as they are free; small ones are kept.
        "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
        "MALLOC_ARENA_MAX": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OPENCV_LOG_LEVEL": "SILENT",
    }


def _cut_back(file: int) -> None:
    if os.fstat(file).st_size > _KEPT_BYTES:
        os.ftruncate(file, _KEPT_BYTES)


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.pwrite(file, left, len(data) - len(left)) :]


def _read(file: int, pixels: Pixels) -> None:
    # Read and not mapped: a file that shrinks under a mapping kills who looks at it.
    left, offset = pixels.reshape(-1).data, 0
    while left:
        count = os.preadv(file, [left], offset)
        if not count:
            raise DecoderDied("it gave fewer pixels than it said", "crashed")
        offset, left = offset + count, left[count:]
