"""One trial on a stack: two tenants with a receiver each, what happens to them, and the verdict."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Self

from boxyard_ledger import JobOverview, keys
from boxyard_schemas import JobState, Scope
from boxyard_schemas.errors import Unavailable
from chaos.callers import Caller
from chaos.history import History
from chaos.inventory import take_inventory
from chaos.judge import Verdict, judge
from chaos.listener import Listener
from chaos.load import Load
from chaos.stack import Stack
from process import await_true
from receivers import Answer

Figures = dict[str, object]
_numbers = itertools.count(1)


class Trial:
    """Two new tenants on a stack.

    Args:
        stack: that runs, or will.
        answers: what the tenants' receivers say.
    """

    def __init__(self, stack: Stack, *answers: Answer) -> None:
        self.stack, self.history = stack, History()
        self.number = next(_numbers)
        self.seed = random.SystemRandom().randrange(2**32)
        self.random = random.Random(self.seed)
        self.callers: list[Caller] = []
        self.listeners: list[Listener] = []
        for letter in "ab":
            self._add_tenant(f"{letter}{self.number}-{self.seed:08x}", answers)
        self.a, self.b = self.callers

    def _add_tenant(self, name: str, answers: tuple[Answer, ...]) -> None:
        ledger = self.stack.ledger
        ledger.tenants.create(name)
        _, key = ledger.api_keys.create(name, name="chaos", scopes=[Scope.ADMIN])
        secrets = ledger.tenants.webhook_secrets(name)
        self.callers.append(Caller(name, lambda: self.stack.url, key, self.history))
        self.listeners.append(Listener(name, lambda: secrets, self.history, *answers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for caller in self.callers:
            caller.close()
        for listener in self.listeners:
            listener.close()

    def callback(self, caller: Caller) -> dict[str, object]:
        """The `delivery` of a job whose end its tenant's receiver must hear."""
        url = self.listeners[self.callers.index(caller)].url
        return {"callback": {"url": f"{url}/heard"}}

    @contextmanager
    def load(self, *, threads: int = 2, per_s: float = 30, **mix: float) -> Iterator[Load]:
        """Both tenants go on submitting, reading, cancelling and erasing; see `Load`."""
        load = Load(self, per_s=per_s / threads, **mix)
        with load.running(threads):
            yield load

    def running(self) -> list[JobOverview]:
        """The jobs that workers hold."""
        return [
            job
            for caller in self.callers
            for job in self.stack.ledger.jobs.list(
                caller.tenant, state=JobState.RUNNING, limit=1000
            )[0]
        ]

    def settle(self, patience_s: float = 90) -> None:
        """Until every job has ended and everybody who must be told was."""
        self._await(self._jobs_ended, "all jobs to end", patience_s)
        self._await(self._told, "all deliveries to be over", patience_s)

    def verdict(self, *, read: float = 1, patience_s: float = 90) -> Verdict:
        """Settles, looks at everything, and judges.

        Args:
            read: the share of the results that are read over HTTP; all are read from the store.
            patience_s: for everything to end, in seconds.
        """
        self.settle(patience_s)
        self._read_all(read)
        self._let_an_hour_pass()
        tenants = [caller.tenant for caller in self.callers]
        take_inventory(self.stack.ledger, self.stack.client, tenants, self.history)
        return judge(self.history)

    def conclude(self, figures: Figures, **how: float) -> Verdict:
        """The verdict, its figures, and an error unless the invariant held."""
        verdict = self.verdict(**how)
        for name in ("accepted", "refused", "duplicate_runs"):
            figures[name.replace("_", " ")] = getattr(verdict, name)
        figures["lost"] = len(verdict.lost)
        figures["seed"] = self.seed
        assert verdict.held, self._complaint(verdict)
        return verdict

    def _complaint(self, verdict: Verdict) -> str:
        file = self.stack.folder / f"history-{self.number}.jsonl"
        self.history.write(file)
        return f"seed {self.seed}, {file}: {verdict.breaches}\n{self._errors()}"

    def _errors(self) -> str:
        """What the parts logged as errors lately."""
        return "\n".join(
            f"--- {part.name}: {line[:4000]}"
            for part in self.stack.parts
            for line in part.text().splitlines()[-5000:]
            if '"level": "error"' in line
        )[-20_000:]

    def _read_all(self, share: float) -> None:
        a, b = self.callers
        for own, other in ((a, b), (b, a)):
            jobs = [job["id"] for job in own.list()]
            for job in jobs:
                if self.random.random() < share:
                    own.result(job)
            for job in jobs[:3]:
                other.read(job)
                other.result(job)

    def _let_an_hour_pass(self) -> None:
        """What is to be erased again in an hour is erased now: nobody writes any more."""
        waiting = self._hasten_erasures()
        while waiting:  # thousands, where a store has failed for minutes under load
            fewer = partial(self._has_fewer_erasures, waiting)
            self._await(fewer, "an erasure to be done", 60)
            waiting = self._hasten_erasures()

    def _has_fewer_erasures(self, than: int) -> bool:
        return self._hasten_erasures() < than

    def _hasten_erasures(self) -> int:
        """Makes all of them due; how many wait."""
        waiting = self.stack.client.zrange(keys.ERASURES, 0, -1)
        if waiting:
            self.stack.client.zadd(keys.ERASURES, dict.fromkeys(waiting, 0), xx=True)
        return len(waiting)

    def _jobs_ended(self) -> bool:
        states = (JobState.QUEUED, JobState.RUNNING)
        open_ = [keys.listed(each.tenant, state) for each in self.callers for state in states]
        return not self._members(*open_, last=0)

    def _told(self) -> bool:
        """Whether no receiver of these tenants has anything due or under way."""
        tenants = {caller.tenant for caller in self.callers}
        busy = self._members(keys.RECEIVERS, keys.RECEIVER_LEASES)
        return not any(keys.split(receiver)[0] in tenants for receiver in busy)

    def _members(self, *indexes: str, last: int = -1) -> list[str]:
        """Of sorted sets, read at one moment: what goes from one to another is seen in one."""
        look = self.stack.client.pipeline(transaction=True)
        for index in indexes:
            look.zrange(index, 0, last)
        return [member for index in look.execute() for member in index]

    def _await(self, so: Callable[[], bool], what: str, patience_s: float) -> None:
        def safely() -> bool:
            time.sleep(0.1)
            try:
                return so()
            except Unavailable:
                return False

        await_true(safely, what, self.logs, patience_s)

    def logs(self) -> str:
        return "\n".join(f"--- {part.name}\n{part.tail()}" for part in self.stack.parts)
