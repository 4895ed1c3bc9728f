"""A stack whose parts come to Redis as the users of the ACL file, each with its own rights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from boxyard_ledger import JobRecord, Ledger, LedgerSettings
from boxyard_ledger.embedded import find_server
from boxyard_schemas import UrlImage, new_id
from boxyard_schemas.words import utc_now
from process import Process
from security.valkey import Server
from yard import MODEL

ROOT = Path(__file__).parents[2]
ROLES = ("server", "detect", "deliver", "sweep", "operator", "monitor")
_ROOT_USER = "user root on nopass ~* &* +@all\n"
OpenAs = Callable[..., Ledger]
API_KEY = "boxyard_" + "k" * 32
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBkZWZhdWx0IHRlbmFudA=="


@dataclass(frozen=True)
class Guarded:
    """Redis as the compose stack runs it, and one user more: `root`, who may look at everything."""

    port: int
    passwords: dict[str, str]

    def url(self, role: str) -> str:
        return f"redis://{role}:{self.passwords.get(role, 'any')}@127.0.0.1:{self.port}/0"

    def client(self, role: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(role), decode_responses=True)

    def refusals(self) -> list[str]:
        """What Redis refused since the last reset: role, kind and name."""
        with self.client("root") as root:
            found: list[dict[str, Any]] = root.acl_log()
            return [f"{line['username']}: {line['reason']} {line['object']}" for line in found]


@pytest.fixture(scope="session")
def secrets_of_a_stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `deploy/new-env.sh` writes."""
    folder = tmp_path_factory.mktemp("stack")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    shutil.copy(ROOT / ".env.example", folder)
    subprocess.run([folder / "deploy" / "new-env.sh"], check=True, capture_output=True)
    return folder


@pytest.fixture
def guarded(secrets_of_a_stack: Path, tmp_path: Path) -> Iterator[Guarded]:
    acl = tmp_path / "users.acl"
    acl.write_text((secrets_of_a_stack / "deploy" / "users.acl").read_text() + _ROOT_USER)
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["valkey"]
    known = {"/etc/valkey/users.acl": str(acl), "${BOXYARD_REDIS_MAXMEMORY:-1gb}": "1gb"}
    words = [known.get(word, word) for word in service["command"][1:]]
    text = (secrets_of_a_stack / ".env").read_text()
    passwords = {
        role: re.findall(rf"^BOXYARD_REDIS_{role.upper()}_PASSWORD=(.+)$", text, re.MULTILINE)[0]
        for role in ROLES
    }
    command = [find_server(), *words, "--port", "{port}", "--bind", "127.0.0.1"]
    with Server(tmp_path / "redis", *command) as server:
        yield Guarded(server.port, passwords)


@dataclass(frozen=True)
class Stack:
    """Where its server listens, and the environment of its parts."""

    url: str
    environments: dict[str, dict[str, str]]

    def run(self, role: str, *words: str) -> str:
        """What a command of ours says as this role."""
        return subprocess.run(
            [sys.executable, "-m", *words],
            env=self.environments[role],
            capture_output=True,
            text=True,
            check=True,
        ).stdout


@pytest.fixture
def stack(guarded: Guarded, tmp_path: Path) -> Iterator[Stack]:
    """Server, detect (the stand-in), deliver and sweep as processes, each its own user."""
    common = {
        "BOXYARD_BLOB_URL": (tmp_path / "blobs").as_uri(),
        "BOXYARD_ALLOWED_NETWORKS": "127.0.0.0/8",
        "BOXYARD_ALLOWED_PORTS": "",
        "BOXYARD_ALLOWED_BUCKETS": "acme",
        "BOXYARD_DELIVERY_SCHEDULE_S": "[0.2]",
        "BOXYARD_MAX_ATTEMPTS": "2",
    }
    environments = {
        role: {**os.environ, **common, "BOXYARD_REDIS_URL": guarded.url(role)} for role in ROLES
    }
    environments["server"] |= {
        "BOXYARD_API_KEY": API_KEY,
        "BOXYARD_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
    with ExitStack() as parts:
        server, *_ = [
            parts.enter_context(_running(role, words, environments[role], tmp_path))
            for role, words in _COMMANDS.items()
        ]
        server.await_alive(lambda: "running on" in server.text())
        yield Stack(server.text().partition("running on ")[2].split()[0], environments)


_COMMANDS = {
    "server": ("boxyard_producer.server", "--port", "0"),
    "detect": ("boxyard_worker.cli", "detect", "--model", MODEL, "--detector", "standin"),
    "deliver": ("boxyard_worker.cli", "deliver"),
    "sweep": ("boxyard_worker.cli", "sweep"),
}


@contextmanager
def _running(
    role: str, words: tuple[str, ...], environment: dict[str, str], folder: Path
) -> Iterator[Process]:
    part = Process(role, [sys.executable, "-m", *words], environment, folder)
    try:
        yield part
    finally:
        code = part.stop()
    assert code == 0, part.tail()


@pytest.fixture
def open_as(guarded: Guarded, tmp_path: Path) -> Iterator[OpenAs]:
    """A ledger as one of the roles."""
    with ExitStack() as opened:

        def make(role: str, **settings: Any) -> Ledger:
            fields = {"redis_url": guarded.url(role), "blob_url": (tmp_path / "blobs").as_uri()}
            return opened.enter_context(Ledger.open(LedgerSettings(**{**fields, **settings})))

        yield make


def make_job() -> JobRecord:
    return JobRecord.model_validate(
        {
            "id": new_id("job"),
            "tenant": "acme",
            "model": MODEL,
            "images": [UrlImage(url="https://pictures.example/a.jpg")],
            "delivery": {"callback": {"url": "https://receiver.example/"}},
            "created_at": utc_now(),
        }
    )
