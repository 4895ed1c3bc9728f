"""A whole stack by `boxyard up`, with the stand-in for the model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from boxyard_producer import Client
from boxyard_producer.stack import Credentials

BOXYARD = (sys.executable, "-m", "boxyard_producer.cli")
Boxyard = Callable[..., "subprocess.CompletedProcess[str]"]


def until(true: Callable[[], object], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    return (_stat(pid) or ["Z"])[0] != "Z"


def children(pid: int) -> set[int]:
    """The processes that this one has started."""
    return {child for child, parent in _parents().items() if parent == pid}


def descendants(pid: int) -> set[int]:
    """Every process under this one."""
    parents = _parents()
    found, level = set(), {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= level
    return found


def _parents() -> dict[int, int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return {pid: int(stat[1]) for pid in pids if (stat := _stat(pid))}


def _stat(pid: int) -> list[str]:
    """State, parent, … of a process; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # the latter when it goes while it is read
        return []


class RunningStack:
    """`boxyard up` as a process, and what it says."""

    def __init__(self, data: Path, environment: Mapping[str, str]) -> None:
        self.data, self.lines = data, list[str]()
        words = ["up", "--port", "0", "--data", str(data), "--detector", "standin"]
        self.process = subprocess.Popen(
            [*BOXYARD, *words, "--allow-network", "127.0.0.0/8"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def credentials(self) -> Credentials:
        found = Credentials.find(self.data)
        assert found
        return found

    @property
    def environment(self) -> dict[str, str]:
        """How a caller is told about this stack."""
        known = self.credentials
        return {"BOXYARD_URL": known.url, "BOXYARD_API_KEY": known.api_key}

    def client(self) -> Client:
        return Client(self.credentials.url, self.credentials.api_key)

    def says(self, words: str) -> bool:
        assert self.process.poll() is None or words in self.text, self.text
        return words in self.text

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(120)
        self._reader.join()
        return status

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip())


def outside() -> dict[str, str]:
    """The environment without anything that leads to another stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BOXYARD_")}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory.mktemp("stack") / "data", outside())
    try:
        until(lambda: running.says("webhook secret:"), limit_s=150)
        yield running
    finally:
        running.stop()


@pytest.fixture
def boxyard(tmp_path: Path) -> Boxyard:
    """The command line as a process, in an empty directory."""

    def run(
        *words: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*BOXYARD, *words],
            env=outside() | {"COLUMNS": "200"} | dict(environment or {}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A red square on grey: the stand-in finds saturated colours."""
    canvas = Image.new("RGB", (200, 160), (128, 128, 128))
    ImageDraw.Draw(canvas).rectangle((40, 60, 119, 139), fill=(230, 10, 10))
    path = tmp_path / "square.png"
    canvas.save(path)
    return path
