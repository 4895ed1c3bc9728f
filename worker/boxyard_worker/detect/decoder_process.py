"""One decoder child as the parent sees it: it takes an image, and gives pixels or says why not.

OpenCV decodes, as mmcv does, so the pixels are the same to the last bit: BGR, 8 bits, upright by
the EXIF orientation, the first frame only. Greyscale and palette become colour, CMYK is converted,
16 bits are shifted down to 8, and alpha is dropped, not blended; but a TIFF is laid on black.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from boxyard_schemas.errors import Permanent
from boxyard_worker.decoder import READY
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detect.exits import ended_itself, usage
from boxyard_worker.detector.contract import Pixels, ResizePlan

_MEMORIES = ("picture", "pixels")
"""What a decoder shares with this process: the file, and what it makes of it."""
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


class Decoded(NamedTuple):
    """A picture: `(height, width, 3)`, uint8, BGR, upright, and its size before it was resized."""

    pixels: Pixels
    width: int
    height: int


class DecoderDied(Exception):
    """The child ended on an image; says how.

    Attributes:
        reason: what the image is blamed for when it happens again; empty when it is not.
    """

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


class DecoderNotStarted(Exception):
    """The child ended before it was ready for an image, or there is none; says why."""


class Decoder:
    """One child, which is ready; for one thread at a time.

    Raises:
        DecoderNotStarted: it does not begin.
    """

    def __init__(self, max_pixels: int, deadline_s: float) -> None:
        self._max_pixels = max_pixels
        self._deadline_s = deadline_s
        try:
            self._open()
        except OSError as error:  # no memory, files or processes are left
            raise DecoderNotStarted(error.strerror) from error
        self.pid = self._process.pid
        self.alive = True
        self._await_start()

    def _open(self) -> None:
        with ExitStack() as opened:
            self._source, self._target = (_open_memory(name, opened) for name in _MEMORIES)
            # Whole messages or none: half a one would be waited for past every deadline.
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.callback(self._socket.close)
            self._process = self._start(theirs)
            self._close = opened.pop_all().close

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
        except TimeoutError:
            begun = b"it was not ready after %d s" % _START_S
        except OSError:
            begun = b""
        if begun != READY:
            if not begun:
                self._let_end()
            self.end()
            status = f"its process ended with status {self._process.returncode}"
            raise DecoderNotStarted(begun.decode(errors="replace") or status)

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
        began, used = awake_s(), usage(self.pid).cpu_s
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
        limit, found = self._deadline_s, usage(self.pid)
        if found.cpu_s - used_s > limit:
            return Permanent(
                "decode-deadline", f"Decoding the picture took more than {limit:g} s of CPU time."
            )
        if waited_s > limit and found.state == "S":
            return DecoderDied(f"it slept for {limit:g} s", "decode-deadline")
        if waited_s > _STARVED * limit:
            return DecoderDied(f"it was stopped or starved for {_STARVED * limit:g} s")
        return None

    def _find_cause(self) -> DecoderDied:
        self._let_end()
        status = self._process.returncode
        return DecoderDied(f"status {status}", "crashed" if ended_itself(status) else "")

    def _let_end(self) -> None:
        """Waits for a child that has hung up, whose own end shows what ended it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_S)
        self.end()

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
