"""One stack in an engine for all stories; by `make compose-test` alone, which wants root."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from boxyard_producer import Client
from compose.accepted import Accepted
from compose.stack import Stack

if "BOXYARD_COMPOSE" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Built and up; a timing of each goes to the terminal."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    try:
        for step in (made.build, made.up):
            print(f"\n{step.__name__} …", flush=True)
            began = time.monotonic()
            step()
            print(f"{step.__name__}: {time.monotonic() - began:.0f} s", flush=True)
        yield made
    except AssertionError:
        print(made.logs())
        raise
    finally:
        made.remove()


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url, stack.settings["BOXYARD_API_KEY"]) as opened:
        yield opened


@pytest.fixture(scope="session")
def accepted(stack: Stack, client: Client) -> Accepted:
    """Every job of the stories."""
    return Accepted(stack, client)
