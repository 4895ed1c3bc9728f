"""Callers that submit one image, wait for its job and start again; prints the figures as JSON.

    boxyard up --detector standin &     # and in another terminal, with the stack's `env` sourced:
    python benchmarks/callers.py --callers 1 16

Each line is one number of callers: jobs per second over all of them, and percentiles of the time
from `submit` to the end of `wait`. Figures of one run compare with each other; those of different
machines or hours do not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from boxyard_producer.client import Client
from boxyard_schemas import DEMO_MODEL, JobState

SIDE = 64
_WARM_UP_S = 1.0


def grey_png(side: int) -> bytes:
    """A grey PNG, written without an image library: a client's environment has none."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\x80" * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + piece(b"IHDR", header)
        + piece(b"IDAT", zlib.compress(rows))
        + piece(b"IEND", b"")
    )


def call_until(end: float, model: str, image: bytes) -> list[float]:
    """One caller: the seconds that each of its jobs took, until a moment of `time.monotonic`."""
    took = list[float]()
    with Client() as client:
        while (began := time.monotonic()) < end:
            job = client.wait(client.submit(model, image).id, timeout_s=60)
            if job.state is not JobState.SUCCEEDED:
                raise SystemExit(f"{job.id} ended as {job.state}: {job.reason}")
            took.append(time.monotonic() - began)
    return took


def measure(callers: int, seconds: float, model: str, image: bytes) -> dict[str, float]:
    """Runs so many callers for so many seconds; their figures."""
    with ThreadPoolExecutor(callers) as threads:

        def run(end: float) -> list[float]:
            call = partial(call_until, model=model, image=image)
            return [each for took in threads.map(call, [end] * callers) for each in took]

        run(time.monotonic() + _WARM_UP_S)
        began = time.monotonic()
        took = run(began + seconds)
        elapsed = time.monotonic() - began
    percentiles = statistics.quantiles(took, n=100, method="inclusive")
    return {
        "callers": callers,
        "jobs": len(took),
        "jobs_per_s": round(len(took) / elapsed, 1),
        **{f"p{n}_ms": round(1000 * percentiles[n - 1], 1) for n in (50, 90, 99)},
        "max_ms": round(1000 * max(took), 1),
    }


def main() -> None:
    """Reads the command line and prints a line for each number of callers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16], metavar="N")
    parser.add_argument("--seconds", type=float, default=10, help="per number of callers")
    parser.add_argument("--model", default=DEMO_MODEL)
    options = parser.parse_args()
    image = grey_png(SIDE)
    for callers in options.callers:
        print(json.dumps(measure(callers, options.seconds, options.model, image)), flush=True)


if __name__ == "__main__":
    main()
