"""What happens to one entry stays its own."""

from __future__ import annotations

import dataclasses
import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from zoo.nursery import Limits, raise_outcomes, resident_mib
from zoo.outcomes import Outcome, Task, append_outcome, choose, read_outcomes

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads are pytest's


def live(task: Task) -> Outcome:
    match task.name:
        case "crash":
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        case "leave":
            sys.exit(3)
        case "hang":
            time.sleep(600)
        case "grow":
            held = []  # the pages that it shares with this process do not all count as its own
            while True:
                held.append(b"1" * (50 << 20))
    print("what libraries print is nobody's news")
    return Outcome(task, found=7)


@pytest.fixture
def limits() -> Limits:
    return Limits(seconds=120, mib=resident_mib(os.getpid()) + 150)


def raise_all(limits: Limits, *names: str, jobs: int = 4) -> dict[str, Outcome]:
    tasks = [Task(name) for name in names]
    outcomes = list(raise_outcomes(tasks, live, jobs=jobs, limits=limits))
    assert len(outcomes) == len(names)
    return {outcome.task.name: outcome for outcome in outcomes}


def test_an_entry_that_crashes_hangs_or_grows_says_so_and_the_others_answer(
    limits: Limits,
) -> None:
    outcomes = raise_all(limits, "crash", "leave", "grow", "good")
    outcomes |= raise_all(dataclasses.replace(limits, seconds=2), "hang")
    assert {name: outcome.reason for name, outcome in outcomes.items()} == {
        "crash": "its process ended by SIGSEGV",
        "leave": "its process ended by status 3",
        "grow": f"took more than {limits.mib} MiB of memory",
        "good": "",
        "hang": "took longer than 2 s",
    }
    assert outcomes["good"].found == 7
    assert outcomes["hang"].load_s >= 2


def test_outcomes_come_as_soon_as_they_are_known_and_in_turn_with_one_process(
    limits: Limits,
) -> None:
    names = ["first", "second", "third"]
    assert list(raise_all(limits, *names, jobs=1)) == names
    begun = time.monotonic()
    outcomes = raise_outcomes([Task("hang"), Task("good")], live, jobs=2, limits=limits)
    assert next(outcomes).task.name == "good"
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    assert time.monotonic() - begun < 120, "who stops listening ends what still runs"


def test_a_later_run_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    good, bad = Outcome(Task("good"), found=1, operators=("nms",)), Outcome(Task("bad"), "no")
    append_outcome(path, good)
    append_outcome(path, bad)
    with path.open("a") as file:
        file.write('{"task": {"name": "to')
    append_outcome(path, Outcome(Task("good", whole=True)))
    held = read_outcomes(path)
    assert held == {good.task: good, bad.task: bad, Task("good", True): Outcome(Task("good", True))}
    tasks = [Task("good"), Task("bad"), Task("torn")]
    assert choose(tasks, held, retry=False) == [Task("torn")]
    assert choose(tasks, held, retry=True) == [Task("bad"), Task("torn")]
    append_outcome(path, Outcome(Task("bad"), found=2))
    assert read_outcomes(path)[Task("bad")].found == 2
