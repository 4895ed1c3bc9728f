"""The fault proxy does to connections what it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import httpx
import pytest

from chaos.proxy import Proxy
from receivers import Receiver, say


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(say(200, b"x" * 1000)) as opened:
        yield opened


@pytest.fixture
def proxy(receiver: Receiver) -> Iterator[Proxy]:
    with Proxy(receiver.port) as opened:
        yield opened


def fetch(url: str, found: list[str]) -> None:
    try:
        found.append(httpx.get(url, timeout=60).text)
    except httpx.TransportError as error:
        found.append(type(error).__name__)


def test_it_passes_on_what_it_is_not_told_to_harm(proxy: Proxy) -> None:
    assert httpx.get(proxy.url).text == "x" * 1000


def test_an_answer_is_held_until_it_is_released(proxy: Proxy, receiver: Receiver) -> None:
    found: list[str] = []
    with proxy.hold(b"/held") as hold:
        assert httpx.get(f"{proxy.url}/other").status_code == 200
        asking = Thread(target=fetch, args=(f"{proxy.url}/held", found))
        asking.start()
        hold.wait()
        assert [request.path for request in receiver.requests] == ["/other", "/held"]
        assert not found
        hold.release()
        asking.join()
    assert found == ["x" * 1000]


def test_words_of_an_earlier_request_hold_nothing(proxy: Proxy) -> None:
    with httpx.Client() as client:
        client.get(f"{proxy.url}/held")
        with proxy.hold(b"/held"):
            assert client.get(f"{proxy.url}/other").status_code == 200


def test_a_request_that_is_dropped_never_reaches_the_server(
    proxy: Proxy, receiver: Receiver
) -> None:
    found: list[str] = []
    with proxy.hold(b"/held", answer=False) as hold:
        asking = Thread(target=fetch, args=(f"{proxy.url}/held", found))
        asking.start()
        hold.wait()
    asking.join()
    assert found[0] in {"ReadError", "RemoteProtocolError"}
    assert not receiver.requests


def test_answers_are_late_cut_or_never_come(proxy: Proxy) -> None:
    patient = httpx.Timeout(60, read=0.3)
    proxy.latency_s, begun = 0.1, time.monotonic()
    httpx.get(proxy.url)
    assert time.monotonic() - begun >= 0.2
    proxy.latency_s = 0
    proxy.cut_after(100)
    with pytest.raises(httpx.TransportError):
        httpx.get(proxy.url)
    proxy.freeze()
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(proxy.url, timeout=patient)
    proxy.thaw()
    assert httpx.get(proxy.url).status_code == 200


def test_connections_are_reset_and_refused(proxy: Proxy) -> None:
    with httpx.Client() as client:
        client.get(proxy.url)
        assert proxy.reset() == 1
        proxy.refuses = True
        with pytest.raises(httpx.TransportError):
            client.get(proxy.url)
        proxy.refuses = False
        assert client.get(proxy.url).status_code == 200
