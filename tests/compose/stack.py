"""The compose stack in a folder of its own, with what the test puts in a registry's place."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from boxyard_ledger import LedgerSettings
from boxyard_ledger.s3 import S3

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
PARTS = (
    *("pyproject.toml", "README.md", "LICENSE", "docker-compose.yml", ".env.example"),
    *(".dockerignore", "requirements", "schemas", "ledger", "producer", "worker", "deploy"),
    *("examples/callback_consumer.py", "tests/swift_server.py", "tests/ports.py", "tests/compose"),
)
IMAGES = ("valkey", "s3", "prometheus", "producer", "detect-demo")
PROJECT = "boxyard-test"


class Stack:
    """What an operator does by `docker compose`, and what the engine says of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in PARTS:
            _copy(ROOT / name, folder / name)
        subprocess.run([folder / "deploy" / "new-env.sh"], check=True)
        self.settings = self._settle()

    @property
    def url(self) -> str:
        """The published port."""
        return f"http://127.0.0.1:{self.settings['BOXYARD_PORT']}"

    @property
    def files(self) -> Path:
        """What the container that pulls weights sees as /files."""
        return self._folder / "tests" / "compose"

    def build(self) -> None:
        """Every image once; unchanged ones are at hand."""
        self.compose("build", "--quiet", *IMAGES)

    def up(self, *words: str) -> None:
        """As `docker compose up --wait` does: until all are healthy."""
        self.compose("up", "--no-build", "--wait", "--wait-timeout", "600", *words)

    def remove(self) -> None:
        """The containers and the volumes; the images stay for the next time."""
        self.compose("down", "--volumes", "--timeout", "20")

    def logs(self) -> str:
        """The last lines of each container."""
        return self.compose("logs", "--no-color", "--tail", "40")

    def compose(self, *words: str) -> str:
        """Its standard output.

        Raises:
            AssertionError: the command failed; with what it said.
        """
        kept = {name: value for name, value in os.environ.items() if "BOXYARD" not in name}
        base = {"BOXYARD_BASE_IMAGE": os.environ["BOXYARD_BASE_IMAGE"]}
        command = [*shlex.split(os.environ["BOXYARD_COMPOSE"]), "--project-name", PROJECT, *words]
        return _run(command, cwd=self._folder, env={**kept, **base})

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """The engine's words on each container of a service, ended ones too."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        found: list[dict[str, Any]] = json.loads(_run(["docker", "inspect", *ids]))
        return found

    def address(self, service: str) -> str:
        """Of its only container, on one of its networks: this machine reaches them all."""
        (container,) = self.inspect(service)
        return str(next(iter(container["NetworkSettings"]["Networks"].values()))["IPAddress"])

    def s3(self, secret: str | None = None) -> S3Client:
        """A client of the stack's blob store; by default with the secret that it has."""
        secret = secret or self.settings["BOXYARD_S3_SECRET_ACCESS_KEY"]
        return S3(
            LedgerSettings(
                s3_endpoint_url=f"http://{self.address('s3')}:7070",
                s3_access_key_id=self.settings["BOXYARD_S3_ACCESS_KEY_ID"],
                s3_secret_access_key=SecretStr(secret),
            )
        ).client

    def inside(self, service: str, script: str) -> subprocess.CompletedProcess[str]:
        """A shell's script in the service's first container."""
        (container, *_) = self.inspect(service)
        command = ["docker", "exec", container["Id"], "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    def _settle(self) -> dict[str, str]:
        """Fills in what the operator of a test says; gives the whole .env."""
        path = self._folder / ".env"
        said = {
            "COMPOSE_FILE": "docker-compose.yml:tests/compose/docker-compose.yml",
            "COMPOSE_PROFILES": "cpu,example,metrics",
            "BOXYARD_PORT": str(_free_port()),
            "BOXYARD_S3_ACCESS_KEY_ID": "yard:keeper",  # Swift's users have an account
            "BOXYARD_ALLOWED_HOSTS": "consumer",
            "BOXYARD_ALLOWED_PORTS": "8080",
            "BOXYARD_DETECT_MEMORY": "4g",
        }
        settings = dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE)) | said
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return settings


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "users.acl"))
    else:
        shutil.copy(source, target)


def _run(command: list[str], **where: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **where
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _free_port() -> int:
    """Below those that outgoing connections get, which might take it while the stack is down."""
    for port in range(18000, 19000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free")
