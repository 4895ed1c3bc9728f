"""Small records that several people change at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from boxyard_ledger import Ledger
from boxyard_ledger.connection import Connection
from boxyard_ledger.records import Record
from boxyard_ledger.shelf import Shelf
from boxyard_schemas.errors import NotFound


class Counter(Record):
    count: int = 0


@pytest.fixture
def shelf(ledger: Ledger) -> Shelf[Counter]:
    return Shelf(Connection(ledger.settings), ledger.quarantine, Counter, "counter")


def counted(record: Counter) -> Counter:
    return Counter(count=record.count + 1)


def test_changes_at_the_same_time_follow_each_other(shelf: Shelf[Counter]):
    shelf.add("boxyard:acme:counters", "one", Counter())
    with ThreadPoolExecutor(8) as threads:
        for _ in range(160):
            threads.submit(shelf.amend, "boxyard:acme:counters", "one", counted)
    assert shelf.get("boxyard:acme:counters", "one") == Counter(count=160)


def test_what_was_removed_is_not_brought_back_by_a_change(shelf: Shelf[Counter], raw: redis.Redis):
    shelf.add("boxyard:acme:counters", "one", Counter())

    def remove_meanwhile(record: Counter) -> Counter:
        shelf.remove("boxyard:acme:counters", "one")
        return counted(record)

    with pytest.raises(NotFound):
        shelf.amend("boxyard:acme:counters", "one", remove_meanwhile)
    assert raw.exists("boxyard:acme:counters") == 0


def test_what_is_not_there_is_named(shelf: Shelf[Counter]):
    for reach in (shelf.get, shelf.remove):
        with pytest.raises(NotFound, match=r"No counter has the id two\."):
            reach("boxyard:acme:counters", "two")
