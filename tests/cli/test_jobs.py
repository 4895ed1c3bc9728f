"""`boxyard jobs replay` and `delete` against a server whose jobs are dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_schemas import DEMO_MODEL, JobState
from server_process import ServerProcess, serving_process

from .conftest import Boxyard

URL = "https://example.com/1.jpg"


@pytest.fixture
def server(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path
) -> Iterator[ServerProcess]:
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    with serving_process(tmp_path, ledger_settings) as started:
        yield started


@pytest.fixture
def here(server: ServerProcess) -> dict[str, str]:
    return {"BOXYARD_URL": server.url, "BOXYARD_API_KEY": "key-a"}


def submit_some(server: ServerProcess, count: int) -> list[str]:
    body = {"model": DEMO_MODEL, "images": [{"url": URL}]}
    with server.client("key-a") as api:
        return [api.post("/v1/jobs", json=body).json()["id"] for _ in range(count)]


def let_die(settings: LedgerSettings, count: int) -> None:
    """The next jobs in line run out of attempts at once."""
    with Ledger.open(settings.model_copy(update={"max_attempts": 1})) as ledger:
        for claim in ledger.jobs.claim(DEMO_MODEL, worker="w", max_images=count):
            assert ledger.jobs.requeue(claim, reason="the worker died")


def state(ledger: Ledger, job: str) -> JobState:
    return ledger.jobs.get("a", job).state


def test_dead_jobs_are_enqueued_again_by_name_or_all_at_once(
    server: ServerProcess,
    here: dict[str, str],
    boxyard: Boxyard,
    ledger: Ledger,
    ledger_settings: LedgerSettings,
) -> None:
    dead = submit_some(server, 4)
    let_die(ledger_settings, 4)
    (waiting,) = submit_some(server, 1)
    assert {state(ledger, job) for job in dead} == {JobState.DEAD}

    one = boxyard("jobs", "replay", dead[0], environment=here)
    assert one.stdout == f"{dead[0]} is enqueued again.\n", one.stderr
    refused = boxyard("jobs", "replay", waiting, environment=here)
    assert refused.returncode == 1
    assert "only a dead job" in refused.stderr

    rest = boxyard("jobs", "replay", "--dead", environment=here)
    assert rest.stdout == "Enqueued again: 3.\n", rest.stderr
    assert {state(ledger, job) for job in dead} == {JobState.QUEUED}


def test_erased_jobs_are_gone_with_their_pictures(
    server: ServerProcess, here: dict[str, str], boxyard: Boxyard, ledger: Ledger
) -> None:
    body = {"model": DEMO_MODEL, "images": [{"base64": "/9j/4AAQ"}]}
    with server.client("key-a") as api:
        picture = api.post("/v1/jobs", json=body).json()["id"]
        gone = [picture, *submit_some(server, 1)]
        (stays,) = submit_some(server, 1)
        done = boxyard("jobs", "delete", *gone, environment=here)
        assert done.stdout.splitlines() == [f"{job} is erased." for job in gone], done.stderr
        assert [api.get(f"/v1/jobs/{job}").status_code for job in (*gone, stays)] == [404, 404, 200]
    assert list(ledger.blobs.keys("a/")) == []
    again = boxyard("jobs", "delete", picture, environment=here)
    assert again.returncode == 1
    assert "No job has the id" in again.stderr


def test_a_replay_must_say_of_what(boxyard: Boxyard) -> None:
    for words in ((), ("job_1", "--dead")):
        done = boxyard("jobs", "replay", *words)
        assert done.returncode == 2
        assert "--dead" in done.stderr
