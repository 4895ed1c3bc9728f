"""The consumers that users are shown run as they are, hold the conformance run, and remember."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from boxyard_ledger import EmbeddedRedis
from boxyard_producer.conformance import Finding, Trial, make_cases
from boxyard_producer.webhooks import sign
from boxyard_schemas import new_id
from process import Process

from .conftest import OLD, SECRET

ROOT = Path(__file__).parents[2]
CONSUMERS = ROOT / "examples" / "consumers"
EVENT = (ROOT / "tests" / "schemas" / "golden" / "Event.json").read_bytes()
_READY = re.compile(r"(?:[Rr]unning|[Ll]istening|server) (?:on|at) (http://127\.0\.0\.1:\d+)")
PYTHON = (sys.executable, "-X", "utf8")
COMMANDS: dict[str, tuple[str, ...]] = {
    "fastapi": (*PYTHON, "-m", "uvicorn", "fastapi_consumer:app", "--port", "0"),
    "flask": (*PYTHON, "-m", "flask", "--app", "flask_consumer", "run", "--port", "0"),
    "django": (*PYTHON, "-u", "-m", "django", "runserver", "--noreload", "127.0.0.1:0"),
    "node": ("node", str(CONSUMERS / "node" / "consumer.js")),
}
DURABLE = ("fastapi", "flask", "django")
"""The one in Node keeps what it has seen in memory, and says so."""


class Example(Process):
    """One of the examples on a port of its own."""

    def start(self) -> None:
        super().start()
        self.await_alive(lambda: _READY.search(self.text()) is not None)

    @property
    def url(self) -> str:
        found = _READY.search(self.text())
        assert found
        return found[1]

    def ended(self) -> int:
        """How often it has acted."""
        answer = httpx.get(f"{self.url}/ended", trust_env=False, timeout=60)
        return int(answer.raise_for_status().text)

    def post(self, event_id: str) -> int:
        """Sends it an event; its answer."""
        url, headers = f"{self.url}/boxyard", sign(event_id, EVENT, SECRET)
        answer = httpx.post(url, content=EVENT, headers=headers, trust_env=False, timeout=60)
        return answer.status_code


def environment(redis: EmbeddedRedis, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "BOXYARD_WEBHOOK_SECRET": f"{SECRET} {OLD}",
        "REDIS_URL": redis.url,
        "CONSUMER_DATABASE": str(folder / "consumer.sqlite"),
        "DJANGO_SECRET_KEY": "of the test",
        "DJANGO_SETTINGS_MODULE": "django_consumer.settings",
        "PYTHONPATH": os.pathsep.join(
            [str(CONSUMERS), os.environ.get("PYTHONPATH", str(CONSUMERS))]
        ),
        "PORT": "0",
    }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.node if name == "node" else ()) for name in COMMANDS
    ],
)
def example(
    request: pytest.FixtureRequest,
    embedded_redis: EmbeddedRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Example]:
    """One of them, over the tests of this file."""
    name, folder = request.param, tmp_path_factory.mktemp("example")
    around = environment(embedded_redis, folder)
    if name == "django":
        migrate = [*PYTHON, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
        subprocess.run(migrate, env=around, check=True)
    process = Example(name, COMMANDS[name], around, folder)
    yield process
    process.close()


def test_an_example_does_what_a_consumer_must(example: Example) -> None:
    async def collect() -> list[Finding]:
        trial = Trial(f"{example.url}/boxyard", probe=f"{example.url}/ended")
        return [finding async for finding in trial.run(make_cases(SECRET, [OLD]))]

    assert [each for each in asyncio.run(collect()) if not each.ok] == [], example.tail()


def test_of_many_deliveries_at_once_an_example_acts_on_one(example: Example) -> None:
    async def post_all() -> list[int]:
        headers = sign(new_id("dlv"), EVENT, SECRET)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            posts = [
                client.post(f"{example.url}/boxyard", content=EVENT, headers=headers)
                for _ in range(8)
            ]
            return [answer.status_code for answer in await asyncio.gather(*posts)]

    before = example.ended()
    answers = asyncio.run(post_all())
    assert set(answers) <= {204, 409}, example.tail()
    assert 204 in answers
    assert example.ended() == before + 1


@pytest.mark.parametrize("example", DURABLE, indirect=True, scope="module")
def test_an_example_that_dies_remembers_what_it_has_acted_on(example: Example) -> None:
    before, first, second = example.ended(), new_id("dlv"), new_id("dlv")
    assert example.post(first) == 204
    example.kill()
    example.start()
    assert (example.post(first), example.post(second)) == (204, 204)
    assert example.ended() == before + 2
