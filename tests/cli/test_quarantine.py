"""`boxyard quarantine`: every place is listed in a form that the other commands take."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
import redis

from boxyard_ledger import Ledger

from .conftest import Boxyard

Operate = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = (b"\xff\xfe", b"\\udcff", b"\xff", b"a\nb\x1b[31m", "é".encode(), b"[/red]")


@pytest.fixture
def operate(boxyard: Boxyard, redis_url: str) -> Operate:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return boxyard(*words, environment={"BOXYARD_REDIS_URL": redis_url})

    return run


@pytest.fixture
def raw(redis_url: str):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_places_that_are_no_text_are_listed_and_deleted_by_what_is_listed(
    operate: Operate, ledger: Ledger, raw: redis.Redis
):
    raw.sadd("boxyard:models", *NAMES)
    raw.zadd("boxyard:erasures", {b"\xff": 1})
    ledger.census.take()
    ledger.sweeps.sweep()
    raw.hset("boxyard:quarantine", "odd", '{"reason":"[/red]","at":1}')
    done = operate("quarantine", "list", "--json")
    assert done.returncode == 0, done.stderr
    listed = [json.loads(line)["place"] for line in done.stdout.splitlines()]
    assert r"boxyard:models \udcff\udcfe" in listed
    assert len(set(listed)) == len(NAMES) + 2
    table = operate("quarantine")
    assert table.returncode == 0, table.stderr
    assert all(place in table.stdout for place in listed)
    assert "\x1b[31m" not in table.stdout

    unknown = operate("quarantine", "delete", r"boxyard:models \udc80")
    assert unknown.returncode == 1
    assert r"has no boxyard:models \udc80" in unknown.stderr
    deleted = operate("quarantine", "delete", r"boxyard:models \udcff")
    assert deleted.stdout == "Deleted: 1.\n", deleted.stderr
    left = {entry.place for entry in ledger.quarantine.all()}
    assert "boxyard:models \udcff" not in left
    assert r"boxyard:models \udcff" in left
    listed.remove(r"boxyard:models \udcff")
    deleted = operate("quarantine", "delete", *listed)
    assert deleted.stdout == f"Deleted: {len(listed)}.\n", deleted.stderr
    assert ledger.quarantine.count() == 0
