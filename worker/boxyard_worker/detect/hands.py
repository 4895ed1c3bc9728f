"""Threads for pictures, shared out so that no tenant's slow servers hold them all.

How long a fetch takes is the caller's doing; the stages after it are ours. So a tenant's next
picture is begun only while its pictures that are being fetched are fewer than three for each
thread that is free: alone it gets three quarters of the threads, two get three sevenths each, and
however many hang, some are left for the next one.

What is to be tried again later holds no thread in between. The number of images that it holds in
memory is bounded in the same way.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from typing import Any, Generic, NamedTuple, Self, TypeVar

from boxyard_worker.detect.ticker import Ticker

T = TypeVar("T")
Fetched = Callable[[], None]
"""To be called once the picture is there; again does nothing."""

_PER_FREE = 3
_MAX_PAUSED = 1024
"""Images between two attempts, or whose job is, of all tenants together."""
_TICK_S = 0.1


class Later(Exception):
    """Raised by work that is to run again after a pause."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(f"again in {pause_s} s")
        self.pause_s = pause_s


class _Task(NamedTuple):
    work: Callable[[Fetched], object]
    images: int
    future: Future[Any]


class _Paused(NamedTuple):
    due: float
    tenant: str
    task: _Task


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
        self._waiting: dict[str, deque[_Task]] = {}
        self._fetching: Counter[str] = Counter()
        self._named: set[str] = set()
        self._paused: list[_Paused] = []
        self._closing = False
        self._ticker = Ticker("hands-resume", _TICK_S, self._resume)

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all pauses and waits for all work."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(
                lambda: self._free == self._count and not self._waiting and not self._paused
            )
        self._ticker.stop()
        self._pool.shutdown()

    def submit(self, tenant: str, work: Callable[[Fetched], T]) -> Future[T]:
        """Runs `work` when it is the tenant's turn; it says when its fetching is done.

        It runs again, from its start, when it raises `Later`.
        """
        task = _Task(work, 1, Future())
        with self._changing():
            self._waiting.setdefault(tenant, deque()).append(task)
        return task.future

    def submit_later(
        self, tenant: str, work: Callable[[Fetched], object], later: Later, *, images: int
    ) -> None:
        """Runs `work`, which holds so many images in memory, after a pause."""
        with self._changing():
            self._pause(tenant, _Task(work, images, Future()), later)

    def wait_for_room(self) -> None:
        """Waits until a thread is free; it may be taken again by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)

    def busy(self) -> set[str]:
        """Tenants that have their share: images of theirs wait for a thread, or too many pause."""
        with self._changed:
            self._named = self._find_busy()
            return set(self._named)

    def _find_busy(self) -> set[str]:
        pausing = Counter[str]()
        for paused in self._paused:
            pausing[paused.tenant] += paused.task.images
        allowed = _PER_FREE * (_MAX_PAUSED - pausing.total())
        return set(self._waiting) | {each for each in pausing if pausing[each] >= allowed}

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

    def _run(self, tenant: str, task: _Task) -> None:
        fetching = [tenant]

        def fetched() -> None:
            if fetching:
                with self._changing():
                    self._fetching -= Counter([fetching.pop()])  # forgets those that come to 0

        later: Later | None = None
        try:
            task.future.set_result(task.work(fetched))
        except Later as raised:
            later = raised
        except BaseException as error:  # whoever waits for the future is told
            task.future.set_exception(error)
        with self._changing():
            self._fetching -= Counter(fetching)
            self._free += 1
            if later:
                self._pause(tenant, task, later)

    def _pause(self, tenant: str, task: _Task, later: Later) -> None:
        self._paused.append(_Paused(time.monotonic() + later.pause_s, tenant, task))

    def _resume(self) -> None:
        with self._changing():
            now = inf if self._closing else time.monotonic()
            due = [paused for paused in self._paused if paused.due <= now]
            self._paused = [paused for paused in self._paused if paused.due > now]
            for paused in due:
                self._waiting.setdefault(paused.tenant, deque()).appendleft(paused.task)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._changed:
            yield
            self._start_due()
            self._changed.notify_all()
            room = self._named - self._find_busy() if self._named else set()
            self._named -= room
        if room:
            self._on_room()
