"""The child's side: limits, then one picture after the other until the socket closes."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from boxyard_worker.decoder import READY
from boxyard_worker.detector.contract import Pixels, ResizePlan
from boxyard_worker.detector.resize import resize
from boxyard_worker.signals import ignore_sent_faults

_UNREADABLE = (
    "The file is truncated or damaged, or written in a way that is not read, as TIFFs of floating"
    " point, of 32 bits or packed by Zstandard are. Save it as an ordinary JPEG or PNG."
)
_ORDER_BYTES = 4096
_SLACK_BYTES = 32 << 20
"""What the allocator may keep between pictures."""


def serve(parent: int, source: int, target: int) -> None:
    """Decodes until the parent hangs up.

    Args:
        parent: file descriptor of its end of a socket of messages. `READY` goes out once it is
            ready. Then `{"bytes", "memory", "seconds", "plan"}` comes in; `{"size", "shape"}`, as
            decoded and as resized, or `{"error", "detail"}` goes out.
        source: the file that a picture's bytes come in.
        target: the file that its pixels go out in.
    """
    held = _address_space() + _SLACK_BYTES
    with socket.socket(fileno=parent) as line, suppress(ConnectionError):
        line.send(READY)
        while told := line.recv(_ORDER_BYTES):
            order = json.loads(told)
            _limit(held + order["memory"], order["seconds"])
            plan = ResizePlan(**order["plan"]) if order["plan"] else None
            answer = _decode(order["bytes"], source, target, plan)
            line.send(json.dumps(answer).encode())


def _decode(size: int, source: int, target: int, plan: ResizePlan | None) -> dict[str, Any]:
    try:
        decoded = _read(size, source)
        if decoded is None:
            return _refusal("undecodable-image", _UNREADABLE)
        pixels = resize(decoded, plan) if plan else decoded
        _write(target, pixels)
    except MemoryError:
        return _refusal("too-much-memory", "It wants more than its header tells.")
    except cv2.error as error:
        short = error.code == cv2.Error.StsNoMem
        return _refusal("too-much-memory" if short else "undecodable-image", str(error.err))
    return {"size": decoded.shape[:2], "shape": pixels.shape[:2]}


def _read(size: int, source: int) -> Pixels | None:
    data = np.frombuffer(os.pread(source, size, 0), np.uint8)
    return cast("Pixels | None", cv2.imdecode(data, cv2.IMREAD_COLOR))


def _write(target: int, pixels: Pixels) -> None:
    left, offset = pixels.reshape(-1).data, 0
    while left:
        written = os.pwrite(target, left, offset)
        offset, left = offset + written, left[written:]


def _refusal(error: str, detail: str) -> dict[str, str]:
    return {"error": error, "detail": detail[:500]}


def prepare() -> None:
    """What this process needs before its first picture."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # meant for the parent, which drains first
    ignore_sent_faults()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cv2.setNumThreads(1)
    # When memory runs out, the kernel shall take a decoder before anything else.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _limit(memory: int, seconds: int) -> None:
    """Bytes of address space, and seconds of a core from now on; past those, the kernel kills."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + seconds
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, until)):
        resource.setrlimit(kind, (value, resource.RLIM_INFINITY))
