"""Which request without a known API key begins next."""

from __future__ import annotations

import asyncio
from functools import partial

from boxyard_producer.server.request_queue import RequestQueue


def begun(requests: list[str], leaving: str = "") -> list[list[str]]:
    """What begins in each pass of the event loop, of requests that come at once."""
    passes: list[list[str]] = [[]]

    def note(request: str) -> None:
        passes[-1].append(request)

    async def run() -> None:
        request_queue = RequestQueue()
        begins = {each: partial(note, each) for each in requests}
        for each, begin in begins.items():
            if request_queue.enter(each[0], begin):
                begin()
        if leaving:
            request_queue.leave(leaving[0], begins[leaving])
        for _ in requests:
            passes.append([])
            await asyncio.sleep(0)

    asyncio.run(run())
    return passes


def test_one_request_begins_in_each_pass_and_holders_alternate() -> None:
    order = begun(["a1", "a2", "a3", "a4", "b1", "b2", "c1"])
    assert order[:7] == [["a1"], ["a2"], ["b1"], ["c1"], ["a3"], ["b2"], ["a4"]]


def test_a_request_whose_client_has_gone_delays_no_other() -> None:
    assert begun(["a1", "a2", "b1"], leaving="a2")[:2] == [["a1"], ["b1"]]
