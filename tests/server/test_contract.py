"""Requests made from the server's own OpenAPI document; every answer held to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyard_ledger import Ledger, LedgerSettings
from server_process import ServerProcess, serving_process
from sweeps import Sample

from .test_junk import working

CONFIG = Path(__file__).with_name("schemathesis.toml")
OWN_KEY = "^/v1/keys/"


@pytest.fixture
def server(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path
) -> Iterator[ServerProcess]:
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    with (
        working(ledger),
        serving_process(tmp_path, ledger_settings, max_wait_s=0.05) as started,
    ):
        yield started


@pytest.mark.sweep
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "options",
    [
        ("--exclude-path-regex", OWN_KEY),
        # These would end the key that the run itself comes with, if it read of it elsewhere.
        ("--include-path-regex", OWN_KEY, "--phases", "coverage,fuzzing"),
    ],
    ids=["all", "own-key"],
)
def test_every_answer_is_one_that_the_openapi_document_names(
    server: ServerProcess, tmp_path: Path, options: tuple[str, ...], sample: Sample
) -> None:
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"]
    command += [f"{server.url}/openapi.json", "--header", "Authorization: Bearer key-a"]
    command += ["--max-examples", "30" if sample.whole else "4"]
    # A number of examples and no time limit: schemathesis would go on until it is reached.
    command += ["--checks", "all", "--seed", "1", "--no-shrink", *options]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    assert " passed" in ran.stdout
    assert "request.failed" not in server.text()
