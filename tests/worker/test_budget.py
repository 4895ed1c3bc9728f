"""Memory is set aside before it is taken."""

from __future__ import annotations

import threading
import time

import pytest

from boxyard_schemas.errors import Permanent
from boxyard_worker.detect.budget import Budget
from process import PATIENCE_S


def test_what_alone_is_too_much_is_refused_and_the_setting_named() -> None:
    budget = Budget(100)
    with pytest.raises(Permanent, match="BOXYARD_IMAGE_MEMORY") as refusal, budget.hold(101):
        pass
    assert refusal.value.reason == "too-much-memory"
    with budget.hold(100):
        pass


def test_many_never_hold_more_than_there_is_and_a_large_wish_gets_its_turn() -> None:
    budget, lock, held, most = Budget(100), threading.Lock(), 0, 0

    def take(size: int) -> None:
        nonlocal held, most
        with budget.hold(size):
            with lock:
                held += size
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= size

    threads = [threading.Thread(target=take, args=(size,)) for size in (30, 45, 100, 7) * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)
    assert 0 < most <= 100


def test_what_is_given_back_early_lets_the_next_one_in() -> None:
    budget, second = Budget(100), threading.Event()

    def take() -> None:
        with budget.hold(80):
            second.set()

    with budget.hold(90) as share:
        thread = threading.Thread(target=take)
        thread.start()
        assert not second.wait(0.05)
        share.shrink(20)
        assert second.wait(PATIENCE_S)
        share.shrink(50)  # a share never grows
        assert share.size == 20
    thread.join()
    with budget.hold(100):
        pass
