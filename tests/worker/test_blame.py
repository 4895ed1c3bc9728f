"""An image is blamed for what it does to its decoder, and for nothing that comes from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beside import beside
from boxyard_schemas.errors import Permanent
from boxyard_worker.detect.decoder_process import Decoder, DecoderDied
from boxyard_worker.detect.decoders import Decoders
from pictures import png, scene

SLEEPS = """#!{python}
import os, sys, time
os.write(int(sys.argv[-3]), b"{{}}")
time.sleep(600)
"""


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(2, max_pixels=64_000_000, deadline_s=1)
    yield pool
    pool.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Process ids of the decoders, in the order of their start."""
    pids, start = list[int](), Decoder._start

    def note(*arguments: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments)
        pids.append(process.pid)
        return process

    monkeypatch.setattr(Decoder, "_start", note)
    return pids


def kill_again_and_again(pids: list[int], pause_s: float, stop: threading.Event) -> None:
    seen = 0
    while not stop.wait(pause_s):
        if len(pids) > seen:
            seen = len(pids)
            os.kill(pids[-1], signal.SIGKILL)


def decode_often(decoders: Decoders, count: int) -> None:
    for _ in range(count):
        assert decoders.decode(png(scene()), 1 << 30).pixels.shape == (48, 64, 3)


CRASHES = [
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGSYS,
]


@pytest.mark.parametrize("number", CRASHES)
def test_a_crash_signal_from_outside_does_not_end_a_decoder(
    decoders: Decoders, started: list[int], number: signal.Signals
) -> None:
    decode_often(decoders, 1)
    os.kill(started[0], number)
    decode_often(decoders, 1)
    assert len(started) == 1


@pytest.mark.parametrize(
    ("crash", "status"),
    [("os.abort()", -signal.SIGABRT), ("ctypes.string_at(0)", -signal.SIGSEGV)],
)
def test_a_crash_ends_a_process_that_ignores_the_signals_of_crashes(
    crash: str, status: int
) -> None:
    program = f"""
import ctypes, os
from boxyard_worker.signals import ignore_sent_faults
ignore_sent_faults()
{crash}
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == status


@pytest.fixture
def end_first(monkeypatch: pytest.MonkeyPatch) -> Callable[[signal.Signals, float], None]:
    """Has decoders end by a signal when they have taken an image, so many times."""

    def end(number: signal.Signals, times: float) -> None:
        ask = Decoder._ask

        def end_and_ask(self: Decoder, *order: Any) -> dict[str, Any]:
            nonlocal times
            if times:
                times -= 1
                os.kill(self.pid, number)
            return ask(self, *order)

        monkeypatch.setattr(Decoder, "_ask", end_and_ask)

    return end


EndFirst = Callable[[signal.Signals, float], None]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGALRM, signal.SIGXCPU])
def test_a_decoder_that_is_ended_from_outside_costs_its_picture_nothing(
    decoders: Decoders, started: list[int], end_first: EndFirst, number: signal.Signals
) -> None:
    end_first(number, 3)
    decode_often(decoders, 1)
    assert len(started) == 4


def test_pictures_outlast_a_killer_of_decoders(decoders: Decoders, started: list[int]) -> None:
    with beside(partial(kill_again_and_again, started, 0.7)):
        decode_often(decoders, 10)


def test_an_endless_killer_of_decoders_ends_the_attempt(
    decoders: Decoders, end_first: EndFirst, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boxyard_worker.detect.decoders._PATIENCE_S", 0.1)
    end_first(signal.SIGKILL, float("inf"))
    with pytest.raises(DecoderDied, match="status -9") as died:
        decode_often(decoders, 1)
    assert not died.value.reason


def test_a_decoder_that_is_stopped_past_the_deadline_goes_on(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Decoder._ask

    def stop_first(self: Decoder, *order: Any) -> dict[str, Any]:
        os.kill(self.pid, signal.SIGSTOP)
        threading.Timer(2, os.kill, (self.pid, signal.SIGCONT)).start()
        return ask(self, *order)

    monkeypatch.setattr(Decoder, "_ask", stop_first)
    decode_often(decoders, 1)


def test_a_decoder_that_sleeps_past_the_deadline_twice_is_its_pictures_doing(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text(SLEEPS.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(Permanent) as refusal:
        decoders.decode(png(scene()), 1 << 30)
    assert refusal.value.reason == "decode-deadline"


CLOCK = """
import sys
from boxyard_worker.detect.awake import awake_s
awake_s()
for line in sys.stdin:
    print(awake_s(), flush=True)
"""


def test_the_clock_of_deadlines_stops_while_the_process_is_frozen() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", CLOCK], stdin=pipe, stdout=pipe, text=True, bufsize=1
    ) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write("\n")
        before = float(child.stdout.readline())
        child.send_signal(signal.SIGSTOP)
        time.sleep(3)  # how long it is frozen is what the test is about
        child.send_signal(signal.SIGCONT)
        child.stdin.write("\n")
        assert float(child.stdout.readline()) - before < 2
        child.stdin.close()
