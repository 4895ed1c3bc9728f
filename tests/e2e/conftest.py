"""Each test has a yard of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from beside import beside
from boxyard_ledger import EmbeddedRedis, Ledger
from boxyard_schemas.errors import Unavailable
from yard import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with EmbeddedRedis(tmp_path / "redis") as redis:
        opened = Yard(tmp_path, redis)
        with beside(partial(_sweep, opened.ledger)):
            yield opened
        opened.close()


def _sweep(ledger: Ledger, stop: Event) -> None:
    while not stop.wait(0.2):
        try:
            ledger.sweeps.sweep()
        except Unavailable:
            continue
