"""The soak: very many jobs in one run, while workers and Redis are killed again and again.

`python -m chaos.soak JOBS --results FILE`; `make soak` calls it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from boxyard_ledger import keys
from boxyard_schemas import JobState
from boxyard_schemas.errors import Unavailable
from chaos.callers import Caller, Source
from chaos.judge import Verdict
from chaos.stack import MODEL, Stack
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import Process

_LIMIT_S = 40 * 60
_CALLBACKS = 0.05
_READ = 0.01
"""The share of results that are read over HTTP; all are read from their store."""
_NEWS_S = 10
_PATIENCE_S = 300.0
"""Of a caller who asks again and again."""
_DETECTORS = 2


class Soak:
    """One run.

    Args:
        trial: on a stack that runs.
        jobs: how many are submitted.
        threads: of the callers together.
    """

    def __init__(self, trial: Trial, jobs: int, *, threads: int = 6) -> None:
        self._trial, self._stack, self._jobs, self._threads = trial, trial.stack, jobs, threads
        self._numbers = itertools.count()
        self._stop = Event()
        self._accepted = itertools.count()
        self._accepted_now = 0
        self._begun = self._told = time.monotonic()
        self.workers_killed = self.redis_killed = 0
        self._workers_to_kill, self._redis_to_kill = max(4, jobs // 1000), max(2, jobs // 5000)
        self._end = self._begun + _LIMIT_S

    def run(self) -> Figures:
        """Submits everything, kills meanwhile, and measures."""
        with self._submitting():
            while self._accepted_now < self._jobs and time.monotonic() < self._end:
                self._kill_what_is_due()
                self._tell()
                time.sleep(0.1)
        accepted_s = time.monotonic() - self._begun
        while self._open() and time.monotonic() < self._end:
            self._tell()
            time.sleep(0.5)
        return self._figures(accepted_s, time.monotonic() - self._begun)

    @contextmanager
    def _submitting(self) -> Iterator[None]:
        pictures = [(caller, caller.upload(png(scene()))) for caller in self._trial.callers]
        with ThreadPoolExecutor(self._threads) as pool:
            ends = [pool.submit(self._submit, *pictures[n % 2]) for n in range(self._threads)]
            try:
                yield
            finally:
                self._stop.set()
        for end in ends:
            end.result()

    def _submit(self, caller: Caller, picture: Source) -> None:
        every = int(1 / _CALLBACKS)
        while not self._stop.is_set() and (number := next(self._numbers)) < self._jobs:
            delivery = self._trial.callback(caller) if number % every == 0 else {}
            caller.submit(picture, patience_s=_PATIENCE_S, delivery=delivery)
            self._accepted_now = next(self._accepted) + 1

    def _kill_what_is_due(self) -> None:
        """At even distances on average, and at random moments."""
        chance = self._trial.random
        if self._is_due(self.workers_killed, self._workers_to_kill):
            time.sleep(chance.uniform(0, 0.5))
            worker = chance.choice(self._stack.detectors)
            worker.kill()
            worker.start()
            self.workers_killed += 1
        if self._is_due(self.redis_killed, self._redis_to_kill):
            time.sleep(chance.uniform(0, 0.5))
            self._stack.redis.kill()
            self._stack.redis.start()
            self.redis_killed += 1

    def _is_due(self, done: int, kills: int) -> bool:
        return done < kills and self._accepted_now >= (done + 0.5) * self._jobs / kills

    def _open(self) -> int:
        """Jobs that have not ended."""
        states = (JobState.QUEUED, JobState.RUNNING)
        tenants = [caller.tenant for caller in self._trial.callers]
        client = self._stack.client
        return sum(client.zcard(keys.listed(name, state)) for name in tenants for state in states)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told < _NEWS_S:
            return
        self._told, took = now, now - self._begun
        try:
            waiting = self._stack.ledger.jobs.ready(MODEL)
        except Unavailable:
            return
        print(
            f"{took:5.0f} s  {self._accepted_now} of {self._jobs} accepted, "
            f"{self._accepted_now / took:.0f}/s; {waiting} wait; "
            f"killed: {self.workers_killed} workers, {self.redis_killed} times Redis",
            flush=True,
        )

    def _figures(self, accepted_s: float, ended_s: float) -> Figures:
        memory = self._stack.client.info("memory")
        return {
            "jobs": self._accepted_now,
            "accepted a second": round(self._accepted_now / accepted_s),
            "ended a second": round(self._accepted_now / ended_s),
            "seconds": round(ended_s),
            "server's CPU, ms a job": round(
                1000 * cpu_s(self._stack.server) / self._accepted_now, 1
            ),
            "Redis MB": round(memory["used_memory"] / 1e6),
            "append-only file MB": round(_size(self._stack.folder / "redis") / 1e6),
            "workers killed": self.workers_killed,
            "Redis killed": self.redis_killed,
        }


def cpu_s(process: Process) -> float:
    """Seconds of CPU that a process took since its start."""
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def soak(jobs: int) -> tuple[Figures, Verdict]:
    with (
        tempfile.TemporaryDirectory(prefix="boxyard-soak-") as folder,
        Stack(Path(folder)) as stack,
    ):
        stack.start(detectors=_DETECTORS)
        with Trial(stack) as trial:
            print(f"{jobs} jobs, seed {trial.seed}", flush=True)
            figures = Soak(trial, jobs).run()
            print("Everything has ended; judging.", flush=True)
            verdict = trial.verdict(read=_READ, patience_s=_PATIENCE_S)
            figures |= {
                "lost": len(verdict.lost),
                "duplicate runs": verdict.duplicate_runs,
                "submissions refused or unanswered": verdict.refused,
                "callbacks that came again": verdict.repeats,
                "seed": trial.seed,
            }
            return figures, verdict


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.soak")
    parser.add_argument("jobs", type=int)
    parser.add_argument("--results", type=Path, help="a JSON line is appended")
    arguments = parser.parse_args()
    figures, verdict = soak(arguments.jobs)
    print("\n".join(f"{name}: {figure}" for name, figure in figures.items()))
    for name, ids in verdict.breaches.items():
        print(f"BROKEN  {name}: {len(ids)}, such as {', '.join(ids[:5])}")
    whole = figures["jobs"] == arguments.jobs
    if not whole:
        print(f"After {_LIMIT_S // 60} minutes not all {arguments.jobs} jobs were accepted.")
    if arguments.results:
        line = {"held": verdict.held and whole, "figures": figures, "at": time.time()}
        with arguments.results.open("a") as out:
            out.write(json.dumps(line) + "\n")
    return 0 if verdict.held and whole else 1


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    # As the tests do: what seals secrets here seals nothing else.
    os.environ.setdefault("BOXYARD_SECRET_KEYS", "dGVzdHMsIGFuZCBub2JvZHkgZWxzZSwgc2VhbCBieS4=")
    sys.exit(main())
