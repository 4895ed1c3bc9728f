"""The stack that the README tells its reader to start, with the trained demo model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a reader who followed `First request` up to the first block."""
    with _stack(tmp_path_factory.mktemp("data")) as environment:
        yield environment


@pytest.fixture(scope="session")
def quick_reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same with the stand-in for the model, which is there much sooner."""
    with _stack(tmp_path_factory.mktemp("data"), "--detector", "standin") as environment:
        yield environment


@contextmanager
def _stack(data: Path, *options: str) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "boxyard_producer.cli", "up", "--port", "0"]
    command += ["--allow-network", "127.0.0.0/8", "--data", str(data), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stack:
        try:
            yield _printed(stack)
        finally:
            stack.send_signal(signal.SIGINT)
            stack.wait(120)


def _printed(stack: subprocess.Popen[str]) -> dict[str, str]:
    """What a reader copies from the terminal: address, key and secret."""
    assert stack.stdout is not None
    wanted = {
        "BOXYARD_URL": re.compile(r"(http://127\.0\.0\.1:\d+)"),
        "BOXYARD_API_KEY": re.compile(r"API key: (\S+)"),
        "BOXYARD_WEBHOOK_SECRET": re.compile(r"webhook secret: (\S+)", re.IGNORECASE),
    }
    found: dict[str, str] = {}
    for line in stack.stdout:
        for name, pattern in wanted.items():
            if name not in found and (match := pattern.search(line)):
                found[name] = match[1]
        if len(found) == len(wanted):
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            return {**os.environ, **found, "PATH": path}
    raise AssertionError(f"`boxyard up` ended with {stack.wait()} and printed only {found}")
