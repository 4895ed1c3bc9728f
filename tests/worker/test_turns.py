"""Places are taken in turns by tenants, not by who came first."""

from __future__ import annotations

import threading
import time

from boxyard_worker.detect.turns import Turns


def test_another_tenants_picture_is_next_but_one() -> None:
    turns, order, go = Turns(1), list[str](), threading.Event()

    def wait_for(tenant: str) -> None:
        with turns.take(tenant):
            go.wait(60)
            order.append(tenant)

    threads = []
    for tenant in "aaaaab":
        threads.append(threading.Thread(target=wait_for, args=(tenant,)))
        threads[-1].start()
        time.sleep(0.02)
    go.set()
    for thread in threads:
        thread.join(10)
    assert order.index("b") <= 2
    assert sorted(order) == list("aaaaab")


def test_no_more_places_are_taken_than_there_are() -> None:
    turns, lock, held, most = Turns(3), threading.Lock(), 0, 0

    def use() -> None:
        nonlocal held, most
        with turns.take("a"):
            with lock:
                held += 1
                most = max(most, held)
            time.sleep(0.002)
            with lock:
                held -= 1

    threads = [threading.Thread(target=use) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 3
