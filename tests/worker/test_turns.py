"""Places are taken in turns by tenants, not by who came first."""

from __future__ import annotations

import threading
import time

from boxyard_worker.detect.turns import Turns
from process import PATIENCE_S, await_true


def test_another_tenants_picture_is_next_but_one() -> None:
    turns, order, go = Turns(1), list[str](), threading.Event()

    def wait_for(tenant: str) -> None:
        with turns.take(tenant):
            go.wait(PATIENCE_S)
            order.append(tenant)

    threads = [threading.Thread(target=wait_for, args=(tenant,)) for tenant in "aaaaab"]
    for thread in threads[:-1]:
        thread.start()
    await_true(lambda: len(turns._waiting.get("a", ())) == 4, "one tenant's pictures to wait")
    threads[-1].start()
    await_true(lambda: "b" in turns._waiting, "another's to wait too")
    go.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order.index("b") <= 2
    assert sorted(order) == list("aaaaab")


def test_no_more_places_are_taken_than_there_are() -> None:
    turns, lock, held, most = Turns(3), threading.Lock(), 0, 0
    all_taken = threading.Barrier(3)

    def use() -> None:
        nonlocal held, most
        with turns.take("a"):
            with lock:
                held += 1
                most = max(most, held)
            all_taken.wait(PATIENCE_S)
            time.sleep(0.002)
            with lock:
                held -= 1

    threads = [threading.Thread(target=use) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert most == 3
