"""Threads are shared out by who fetches: none can take them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import count

import pytest

from boxyard_worker.detect.hands import Fetched, Hands, Later
from process import PATIENCE_S, await_true


class Server:
    """Answers when it is told to; counts who waits for it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting: list[str] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.open.set()

    def fetch(self, tenant: str) -> Callable[[Fetched], str]:
        def work(fetched: Fetched) -> str:
            self.waiting.append(tenant)
            self.open.wait(PATIENCE_S)
            fetched()
            return tenant

        return work


@pytest.fixture
def slow() -> Iterator[Server]:
    server = Server()
    yield server
    server.open.set()


def quick(fetched: Fetched) -> str:
    fetched()
    return "done"


def test_a_tenant_whose_servers_hang_leaves_a_quarter_to_the_others(slow: Server) -> None:
    with Hands[str](16) as hands, slow:
        for _ in range(40):
            hands.submit("a", slow.fetch("a"))
        await_true(lambda: len(slow.waiting) >= 12, "a tenant's share to be begun")
        assert [hands.submit("b", quick).result(PATIENCE_S) for _ in range(50)] == ["done"] * 50
        assert slow.waiting == ["a"] * 12
    assert not hands._fetching, "tenants that come and go are not kept in mind"


def test_several_that_hang_still_leave_some(slow: Server) -> None:
    with Hands[str](64) as hands, slow:
        for tenant in "abc":
            for _ in range(100):
                hands.submit(tenant, slow.fetch(tenant))
        assert hands.submit("d", quick).result(PATIENCE_S) == "done"
        await_true(lambda: set(slow.waiting) == set("abc"), "each tenant's first to be begun")
        assert len(slow.waiting) < 64


def test_pictures_that_are_fetched_count_no_more(slow: Server) -> None:
    computing = threading.Event()

    def compute(fetched: Fetched) -> str:
        fetched()
        slow.waiting.append("a")
        computing.wait(PATIENCE_S)
        return "done"

    with Hands[str](8) as hands:
        ends = [hands.submit("a", compute) for _ in range(8)]
        await_true(lambda: len(slow.waiting) == 8, "all to be begun")
        computing.set()
        assert {end.result(PATIENCE_S) for end in ends} == {"done"}


def test_tenants_take_turns_for_one_thread() -> None:
    order, begin = list[str](), threading.Event()

    def note(tenant: str) -> Callable[[Fetched], str]:
        def work(fetched: Fetched) -> str:
            begin.wait(PATIENCE_S)
            order.append(tenant)
            return tenant

        return work

    with Hands[str](1) as hands:
        for tenant in "aaabb":
            hands.submit(tenant, note(tenant))
        begin.set()
    assert "".join(order) == "aabab"


def test_who_has_pictures_waiting_is_busy_and_room_is_told_once(slow: Server) -> None:
    rooms = list[int]()
    with Hands[str](4, on_room=lambda: rooms.append(1)) as hands, slow:
        ends = [hands.submit("a", slow.fetch("a")) for _ in range(8)]
        assert hands.busy() == {"a"}
        slow.open.set()
        assert {end.result(PATIENCE_S) for end in ends} == {"a"}
    assert hands.busy() == set()
    assert rooms == [1]


def test_what_fails_frees_its_thread_and_is_told() -> None:
    def fail(fetched: Fetched) -> str:
        raise ValueError("no picture")

    with ExitStack() as stack:
        hands = stack.enter_context(Hands[str](1))
        ends: list[Future[str]] = [hands.submit("a", fail) for _ in range(5)]
        assert hands.submit("a", quick).result(PATIENCE_S) == "done"
    assert [str(end.exception()) for end in ends] == ["no picture"] * 5


def failing_at_first(pause_s: float, begun: list[int]) -> Callable[[Fetched], str]:
    """Work that is done in its second attempt."""
    attempts = count()

    def work(fetched: Fetched) -> str:
        begun.append(1)
        if next(attempts) == 0:
            raise Later(pause_s)
        fetched()
        return "done"

    return work


def test_images_between_two_attempts_hold_no_thread_and_their_tenant_is_not_busy() -> None:
    begun = list[int]()
    with Hands[str](2) as hands:
        paused = [hands.submit("a", failing_at_first(600, begun)) for _ in range(50)]
        await_true(lambda: len(begun) == 50, "all first attempts")
        assert hands.submit("a", quick).result(PATIENCE_S) == "done"
        assert hands.busy() == set()
        assert not any(each.done() for each in paused)
    assert [each.result(0) for each in paused] == ["done"] * 50, "the end cuts pauses short"
    assert not hands._fetching


def test_an_image_is_processed_again_after_its_pause() -> None:
    begun = list[int]()
    with Hands[str](1) as hands:
        assert hands.submit("a", failing_at_first(0.01, begun)).result(PATIENCE_S) == "done"
    assert len(begun) == 2


def test_a_tenant_with_too_many_paused_images_is_busy_until_some_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("boxyard_worker.detect.hands._MAX_PAUSED", 16)
    begun, rooms = list[int](), list[int]()
    with Hands[str](2, on_room=lambda: rooms.append(1)) as hands:
        for tenant, images in (("a", 12), ("b", 2)):
            for _ in range(images):
                hands.submit(tenant, failing_at_first(600, begun))
        await_true(lambda: len(begun) == 14 and not hands._waiting, "all first attempts")
        await_true(lambda: hands.busy() == {"a"}, "three for each of two that are left")
    assert rooms == [1]


def test_work_that_is_submitted_for_later_counts_by_the_images_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("boxyard_worker.detect.hands._MAX_PAUSED", 16)
    done = threading.Event()
    with Hands[str](2) as hands:
        hands.submit_later("a", lambda fetched: done.set(), Later(600), images=12)
        hands.submit_later("b", lambda fetched: None, Later(600), images=1)
        assert hands.busy() == {"a"}
        assert not done.is_set()
    assert done.is_set()
