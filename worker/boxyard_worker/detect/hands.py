"""Threads for pictures, shared out so that no tenant's slow servers hold them all.

How long a fetch takes is the caller's doing; the stages after it are ours. So a tenant's next
picture is begun only while its pictures that are being fetched are fewer than three for each
thread that is free: alone it gets three quarters of the threads, two get three sevenths each, and
however many hang, some are left for the next one.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, Self, TypeVar

T = TypeVar("T")
Fetched = Callable[[], None]
"""To be called once the picture is there; again does nothing."""

_PER_FREE = 3


class _Task(NamedTuple, Generic[T]):
    work: Callable[[Fetched], T]
    future: Future[T]


class Hands(Generic[T]):
    """Runs pictures, in turns for the tenants that have some waiting.

    Args:
        count: threads.
        on_room: called when a tenant that `busy` named is so no longer.
    """

    def __init__(self, count: int, on_room: Callable[[], object] = lambda: None) -> None:
        self._count = self._free = count
        self._on_room = on_room
        self._pool = ThreadPoolExecutor(count, "hands")
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[_Task[T]]] = {}
        self._fetching: Counter[str] = Counter()
        self._named: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._free == self._count and not self._waiting)
        self._pool.shutdown()

    def submit(self, tenant: str, work: Callable[[Fetched], T]) -> Future[T]:
        """Runs `work` when it is the tenant's turn; it says when its fetching is done."""
        task = _Task(work, Future[T]())
        with self._changed:
            self._waiting.setdefault(tenant, deque()).append(task)
            self._start_due()
        return task.future

    def wait_for_room(self) -> None:
        """Waits until a thread is free; it may be taken again by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)

    def busy(self) -> set[str]:
        """Tenants of whom pictures wait for a thread: they have their share."""
        with self._changed:
            self._named = set(self._waiting)
            return set(self._named)

    def _start_due(self) -> None:
        while self._free and (tenant := self._next()):
            tasks = self._waiting.pop(tenant)
            task = tasks.popleft()
            if tasks:
                self._waiting[tenant] = tasks  # at the end: the others come first now
            self._free -= 1
            self._fetching[tenant] += 1
            self._pool.submit(self._run, tenant, task)

    def _next(self) -> str | None:
        allowed = _PER_FREE * self._free
        return next((each for each in self._waiting if self._fetching[each] < allowed), None)

    def _run(self, tenant: str, task: _Task[T]) -> None:
        fetching = [tenant]

        def fetched() -> None:
            if fetching:
                self._change(fetching.pop(), freed=0)

        try:
            task.future.set_result(task.work(fetched))
        except BaseException as error:  # whoever waits for the future is told
            task.future.set_exception(error)
        self._change(*fetching, freed=1)

    def _change(self, *fetched: str, freed: int) -> None:
        with self._changed:
            self._fetching -= Counter(fetched)  # forgets those that come to 0
            self._free += freed
            self._start_due()
            self._changed.notify_all()
            room = self._named - set(self._waiting)
            self._named -= room
        if room:
            self._on_room()
