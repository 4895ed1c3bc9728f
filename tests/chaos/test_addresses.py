"""Faults 29 to 31: addresses inside, reached for by redirects, by names and by odd spellings.

The worker and the deliverer are in a namespace whose loopback has the address that clouds keep
their secrets at. A canary listens there: no connection may be made.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from chaos.callers import Source
from chaos.faults import fault
from chaos.names import NameServer
from chaos.namespace import Namespace, let_in, missing
from chaos.reading import attempts_of, codes_of
from chaos.stack import Stack
from chaos.trial import Figures, Trial
from pictures import png, scene
from receivers import Canary, Receiver, say

MODEL = "rtmdet-ins_s_8xb32-300e_coco"
"""Only the worker in the namespace serves it."""
METADATA = "169.254.169.254"
_WIDE = {ord(digit): chr(ord(digit) + 0xFEE0) for digit in "0123456789"}
SPELLINGS = (
    METADATA,
    f"{METADATA}.",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.0xfea9fe",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::]",
    f"user@{METADATA}",
    f"user:password@{METADATA}",
    METADATA.translate(_WIDE),
    METADATA.replace(".", "\u3002"),
    "127.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "localhost",
)


@dataclass(frozen=True)
class Inside:
    """What a test has in and around the namespace."""

    space: Namespace
    names: NameServer
    canary: Canary

    @property
    def forbidden(self) -> str:
        return f"http://{METADATA}:{self.canary.port}/latest"


@pytest.fixture(scope="module")
def inside(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    if why := missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("namespace")
    with ExitStack() as stack:
        space = stack.enter_context(Namespace(folder, addresses=(f"{METADATA}/32",)))
        answers = {
            "source.test": [[space.outside]],
            "turns.test": [[space.outside], [METADATA]],
            "both.test": [[space.outside, METADATA]],
            "inside.test": [[METADATA]],
            "calls.test": [[space.outside], [METADATA]],
        }
        names = stack.enter_context(NameServer(space.outside, answers))
        canary = space.within(lambda: Canary(METADATA))
        stack.callback(canary.close)
        space.within(lambda: socket.create_connection((METADATA, canary.port)).close())
        assert not canary.sings(), "the canary is deaf"
        there: dict[str, Any] = {
            "prefix": space.command(),
            "redis_url": let_in(shared_stack.client, space),
            "allowed_networks": f"{space.outside}/32",
        }
        detector = shared_stack.detect("--model", MODEL, **there)
        stack.enter_context(shared_stack.further(detector))
        stack.enter_context(shared_stack.further(shared_stack.deliver(**there)))
        yield Inside(space, names, canary)


def fetch(trial: Trial, *urls: str) -> list[str]:
    """What becomes of a picture behind each URL: `success`, or a failure's code."""
    job = trial.a.submit(*(Source({"url": url}) for url in urls), model=MODEL)
    return codes_of(trial.a, job)


def call_back(trial: Trial, url: str) -> list[str]:
    """How each attempt at a callback to `url` ended."""
    trial.stack.deliverer.stop()  # the one outside; it runs again for the next test
    picture = trial.a.upload(png(scene()))
    job = trial.a.submit(picture, delivery={"callback": {"url": url}})
    trial.settle()
    return attempts_of(trial.a, job)


@fault(29, "redirect to a link-local address")
def test_no_redirect_leads_to_a_link_local_address(
    trial: Trial, inside: Inside, figures: Figures
) -> None:
    """302 to 169.254.169.254 for an image and for a callback; a canary listens there"""
    away = say(302, Location=inside.forbidden)
    with Receiver(away, host=inside.space.outside) as source:
        assert fetch(trial, f"http://source.test:{source.port}/") == ["address-denied"]
        assert len(source.requests) == 1
    with Receiver(away, say(410), host=inside.space.outside) as receiver:
        assert call_back(trial, f"http://source.test:{receiver.port}/") == [
            "status-302",
            "status-410",
        ]
    assert inside.canary.sings()
    figures["connections to the canary"] = 0
    trial.conclude(figures)


@fault(30, "DNS rebinding")
def test_a_name_that_changes_its_address_leads_nowhere_else(
    trial: Trial, inside: Inside, figures: Figures
) -> None:
    """a name server that answers with an allowed address first and then with 169.254.169.254"""
    names, asked = inside.names, len(inside.names.asked)
    picture = say(200, png(scene()), Connection="close")
    refusal = say(500, Connection="close")
    with Receiver(picture, host=inside.space.outside) as source:
        port = source.port
        assert fetch(trial, f"http://turns.test:{port}/") == ["success"]
        assert names.asked[asked:] == ["turns.test"]  # once: what was checked was connected to
        assert fetch(trial, f"http://turns.test:{port}/") == ["address-denied"]
        assert (
            fetch(trial, f"http://both.test:{port}/", f"http://inside.test:{port}/")
            == ["address-denied"] * 2
        )
        assert len(source.requests) == 1
    with Receiver(refusal, host=inside.space.outside) as receiver:
        attempts = call_back(trial, f"http://calls.test:{receiver.port}/")
        assert attempts == ["status-500", "address-denied"]
        assert len(receiver.requests) == 1
    assert inside.canary.sings()
    figures["name look-ups"] = len(names.asked) - asked
    figures["connections to the canary"] = 0
    trial.conclude(figures)


@fault(31, "encoded and mapped addresses")
def test_no_spelling_of_an_address_leads_inside(
    trial: Trial, inside: Inside, figures: Figures
) -> None:
    """21 spellings of inner addresses: in jobs, callbacks and endpoints, and by redirects"""
    port = inside.canary.port
    for spelling in SPELLINGS:
        url = f"http://{spelling}:{port}/"
        if not spelling.startswith(_ALLOWED):
            assert not accepted(trial, url), spelling
    redirected = fetch_by_redirect(trial, inside)
    assert redirected == ["address-denied"] * len(SPELLINGS), dict(
        zip(SPELLINGS, redirected, strict=True)
    )
    assert inside.canary.sings()
    figures["spellings"], figures["connections to the canary"] = len(SPELLINGS), 0
    trial.conclude(figures)


_ALLOWED = ("127.", "localhost", "[::1]")
"""The shared stack's server lets callers name its own machine; the worker inside does not."""


def accepted(trial: Trial, url: str) -> bool:
    """Whether the server takes a job or an endpoint with this URL."""
    picture = trial.a.upload(png(scene()))
    called = trial.a.ask(trial.a.new_marker(), picture, delivery={"callback": {"url": url}})
    fetched = trial.a.ask(trial.a.new_marker(), Source({"url": url}))
    endpoint = trial.a.send("POST", "/v1/endpoints", json={"url": url})
    assert endpoint is not None
    return bool(called or fetched or endpoint.status_code < 400)


def fetch_by_redirect(trial: Trial, inside: Inside) -> list[str]:
    def lead_away(handler: BaseHTTPRequestHandler) -> None:
        spelling = SPELLINGS[int(handler.path[1:])]
        # http.server writes headers in latin-1; sent as UTF-8, a spelling arrives as it is.
        location = f"http://{spelling}:{inside.canary.port}/".encode().decode("latin-1")
        say(302, Location=location)(handler)

    with Receiver(lead_away, host=inside.space.outside) as source:
        front = f"http://source.test:{source.port}"
        return fetch(trial, *(f"{front}/{index}" for index in range(len(SPELLINGS))))
