"""The compose stack as its YAML says it, and as the compose command reads it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
Services = dict[str, Any]


@pytest.fixture(scope="session")
def compose_command() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if not shutil.which(command[0]):
            continue
        found = subprocess.run([*command, "version", "--short"], capture_output=True, check=False)
        if found.returncode == 0 and found.stdout.lstrip(b"v").startswith((b"2.", b"5.")):
            return command
    if os.environ.get("CI"):
        pytest.fail("CI has no docker compose; .ci/fetch-compose fetches one")
    pytest.skip("there is no docker compose")


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A copy of what the compose command reads, without an .env."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for name in ("docker-compose.yml", ".env.example"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def stack_with_secrets(stack: Path) -> Path:
    subprocess.run([stack / "deploy" / "new-env.sh"], check=True, capture_output=True)
    return stack


def configure(command: list[str], stack: Path, **variables: str) -> Services:
    """The services of the variables' profiles, every variable filled in."""
    clean = {name: value for name, value in os.environ.items() if "BOXYARD" not in name}
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        cwd=stack,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(done.stderr)
    services: Services = json.loads(done.stdout)["services"]
    return services


@pytest.fixture(scope="session")
def services() -> Services:
    """All services, variables as they stand."""
    parsed: Services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return parsed
