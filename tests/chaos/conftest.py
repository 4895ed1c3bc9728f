"""Faults: how large they are made, what they measure, and the stack that most of them share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.stack import Stack
from chaos.trial import Figures, Trial

_HOUR_S = 3600


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--chaos") == "full":
        for item in items:
            if item.get_closest_marker("fault"):
                item.add_marker(pytest.mark.timeout(_HOUR_S))


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """`scale(slice=5, full=100)`: the figure for how much is done."""
    size: str = pytestconfig.getoption("--chaos")
    return lambda **figures: figures[size]


@pytest.fixture
def figures() -> Figures:
    """What a fault measures: `figures["lost"] = 0`. Units stand in the names."""
    return {}


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.start()
        yield stack


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """One that all tests share: two detectors, and one of each other part, all alive."""
    shared_stack.mend()
    return shared_stack


@pytest.fixture
def trial(stack: Stack) -> Iterator[Trial]:
    with Trial(stack) as begun:
        print(f"seed {begun.seed}")
        yield begun


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if call.when == "call" and (mark := item.get_closest_marker("fault")):
        _write_down(item, mark, report, call.duration)
    return report


def _write_down(item: Any, mark: pytest.Mark, report: pytest.TestReport, seconds: float) -> None:
    file: Path | None = item.config.getoption("--chaos-results")
    if file is None:
        return
    number, name = mark.args
    line = {
        "fault": number,
        "name": name,
        "test": item.name,
        "size": item.config.getoption("--chaos"),
        "done": (item.obj.__doc__ or "").strip(),
        "outcome": report.outcome,
        "figures": item.funcargs.get("figures", {}),
        "seconds": round(seconds, 1),
        "at": time.time(),
    }
    with file.open("a") as out:
        out.write(json.dumps(line) + "\n")
