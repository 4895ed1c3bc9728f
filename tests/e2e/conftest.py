"""Each test has a yard of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyard_ledger import EmbeddedRedis, Ledger
from boxyard_schemas.errors import Unavailable
from yard import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with EmbeddedRedis(tmp_path / "redis") as redis:
        opened = Yard(tmp_path, redis)
        stop = threading.Event()
        sweeper = threading.Thread(target=_sweep, args=(opened.ledger, stop))
        sweeper.start()
        yield opened
        stop.set()
        sweeper.join()
        opened.close()


def _sweep(ledger: Ledger, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        try:
            ledger.sweeps.sweep()
        except Unavailable:
            continue
