"""What tenants do all day, from several threads until they are told to stop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

from boxyard_worker.detector.standin import Trouble
from chaos.callers import Caller, Source, inline
from pictures import png, scene, trouble

if TYPE_CHECKING:
    from chaos.trial import Trial


class Load:
    """Submissions and what goes with them.

    Args:
        trial: whose callers act.
        per_s: jobs a second of each thread, at most.
        callbacks: the share of jobs with a callback.
        slow: the share of jobs with a picture that takes the model a second.
        cancels: the share that is cancelled at once.
        erases: the share that is erased at once.
        reads: the share whose state is read at once.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        per_s: float,
        callbacks: float = 0.2,
        slow: float = 0,
        cancels: float = 0.02,
        erases: float = 0.02,
        reads: float = 0.2,
        patience_s: float = 90,
    ) -> None:
        self._trial, self._pause_s, self._patience_s = trial, 1 / per_s, patience_s
        self._callbacks, self._slow = callbacks, slow
        self._cancels, self._erases, self._reads = cancels, erases, reads
        self._stop = Event()
        self._sources = {caller.tenant: _sources(caller) for caller in trial.callers}
        self.accepted: list[str] = []

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        with ThreadPoolExecutor(threads) as pool:
            seeds = [self._trial.random.random() for _ in range(threads)]
            ends = [pool.submit(self._act, random.Random(seed)) for seed in seeds]
            try:
                yield
            finally:
                self._stop.set()
        for end in ends:
            end.result()

    def _act(self, chance: random.Random) -> None:
        while not self._stop.wait(self._pause_s * chance.uniform(0.5, 1.5)):
            caller = chance.choice(self._trial.callers)
            job = self._submit(caller, chance)
            self.accepted.append(job)
            if chance.random() < self._reads:
                caller.read(job)
            if chance.random() < self._cancels:
                caller.cancel(job)
            if chance.random() < self._erases:
                caller.erase(job)

    def _submit(self, caller: Caller, chance: random.Random) -> str:
        named, sent, slow = self._sources[caller.tenant]
        sources = [slow] if chance.random() < self._slow else [named]
        if chance.random() < 0.1:
            sources.append(sent)
        told = chance.random() < self._callbacks
        delivery = self._trial.callback(caller) if told else {}
        return caller.submit(*sources, patience_s=self._patience_s, delivery=delivery)


def _sources(caller: Caller) -> tuple[Source, Source, Source]:
    """A picture to name, one to send along and one that takes a second: of unlike sizes."""
    named = caller.upload(png(scene(64)))
    slow = caller.upload(png(trouble(Trouble.SLOW, 72)))
    # A picture goes with the last job that names it: this one is never erased.
    caller.submit(named, slow)
    return named, inline(png(scene(80))), slow
