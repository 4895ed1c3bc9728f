"""`boxyard keys` and `boxyard tenants`: the operator's hand on the ledger itself."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from boxyard_ledger import Ledger, WorkerRecord
from boxyard_producer.stack import Credentials
from boxyard_schemas import EndpointRequest, Scope
from boxyard_schemas.installation import install_command
from boxyard_schemas.words import utc_now

from .conftest import BOXYARD, Boxyard, RunningStack, descendants, outside

ROOT = Path(__file__).parents[2]
Operate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def operate(boxyard: Boxyard, redis_url: str) -> Operate:
    """The command line with the operator's environment."""
    known = {
        "BOXYARD_REDIS_URL": redis_url,
        "BOXYARD_SECRET_KEYS": os.environ["BOXYARD_SECRET_KEYS"],
    }

    def run(*words: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return boxyard(*words, environment={**known, **changed})

    return run


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stdout of a command that went well."""
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return line


def test_a_tenant_and_its_key_are_made_by_two_commands_that_scripts_can_read(
    operate: Operate, ledger: Ledger
) -> None:
    made = operate("tenants", "create", "acme")
    assert ledger.tenants.webhook_secrets("acme") == [printed(made)]
    done = operate("keys", "create", "--tenant", "acme", "--scope", "enqueue", "--scope", "read")
    key = ledger.api_keys.authenticate(printed(done))
    assert key is not None
    assert (key.tenant, key.scopes) == ("acme", (Scope.ENQUEUE, Scope.READ))
    assert key.id in done.stderr
    assert "shown this once" in done.stderr
    assert printed(done) not in done.stderr


def test_a_shell_takes_the_key_as_it_is_printed(redis_url: str, ledger: Ledger) -> None:
    ledger.tenants.create("acme")
    boxyard = " ".join(BOXYARD)
    line = (
        f'KEY="$({boxyard} keys create --tenant acme --scope read 2>/dev/null)"; printf %s "$KEY"'
    )
    found = subprocess.run(
        ["sh", "-euc", line],
        env=outside() | {"BOXYARD_REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    ).stdout
    assert ledger.api_keys.authenticate(found)


def test_a_key_lives_as_long_as_was_asked_and_is_listed_without_its_text(
    operate: Operate, ledger: Ledger
) -> None:
    ledger.tenants.create("acme")
    words = ("--tenant", "acme", "--scope", "read", "--name", "line 4", "--expires-in-days", "2")
    text = printed(operate("keys", "create", *words))
    key = ledger.api_keys.authenticate(text)
    assert key is not None
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days == 2
    for extra in ((), ("--tenant", "acme")):
        table = operate("keys", "list", *extra).stdout
        assert key.id in table
        assert "line 4" in table
        assert f"{key.expires_at:%Y-%m-%d %H:%M}" in table
        assert text not in table
    assert json.loads(printed(operate("keys", "list", "--json")))["id"] == key.id


def test_a_key_is_rotated_and_revoked(operate: Operate, ledger: Ledger) -> None:
    ledger.tenants.create("acme")
    key, old = ledger.api_keys.create("acme", name="x", scopes=[Scope.READ])
    new = printed(operate("keys", "rotate", "--tenant", "acme", key.id))
    assert ledger.api_keys.authenticate(old)
    last = printed(operate("keys", "rotate", "--tenant", "acme", key.id, "--overlap", "0"))
    assert ledger.api_keys.authenticate(old) is None
    fresh = ledger.api_keys.authenticate(new)
    assert fresh is not None
    done = operate("keys", "revoke", "--tenant", "acme", fresh.id)
    assert (done.returncode, done.stdout) == (0, "")
    assert ledger.api_keys.authenticate(new) is None
    assert ledger.api_keys.authenticate(last)


def test_resealing_lets_the_old_key_go(operate: Operate, ledger: Ledger) -> None:
    ledger.tenants.create("acme")
    wanted = EndpointRequest.model_validate({"url": "https://a.example/"})
    ledger.endpoints.add("acme", wanted)
    new, old = Fernet.generate_key().decode(), os.environ["BOXYARD_SECRET_KEYS"]
    assert operate("keys", "reseal", BOXYARD_SECRET_KEYS=f"{new},{old}").returncode == 0
    assert operate("keys", "reseal", BOXYARD_SECRET_KEYS=new).returncode == 0
    failed = operate("keys", "reseal")
    assert failed.returncode == 1
    assert "No key of BOXYARD_SECRET_KEYS opens" in failed.stderr
    assert old not in failed.stderr


def test_tenants_are_listed_with_bounds_that_can_be_set_and_forgotten(
    operate: Operate, ledger: Ledger
) -> None:
    ledger.tenants.create("acme")
    ledger.tenants.create("other")
    shown = operate("tenants", "quota", "acme", "--jobs-per-minute", "1200").stdout
    assert "1,200" in shown
    operate("tenants", "quota", "acme", "--queued-jobs", "50")
    bounds = ledger.tenants.quota("acme")
    assert (bounds.jobs_per_minute, bounds.queued_jobs, bounds.stored_bytes) == (1200, 50, None)
    listed = operate("tenants", "list").stdout
    assert all(each in listed for each in ("acme", "other", "1,200", "as all"))
    lines = [json.loads(each) for each in operate("tenants", "list", "--json").stdout.splitlines()]
    assert [line["tenant"] for line in lines] == ["acme", "other"]
    assert lines[0]["queued_jobs"] == 50
    operate("tenants", "quota", "acme", "--reset", "--stored-bytes", "7")
    bounds = ledger.tenants.quota("acme")
    assert (bounds.jobs_per_minute, bounds.stored_bytes) == (None, 7)


def test_what_is_wrong_is_one_line(operate: Operate, ledger: Ledger) -> None:
    ledger.tenants.create("acme")
    for words, why in {
        ("keys", "create", "--tenant", "nobody", "--scope", "read"): "No tenant is called",
        ("keys", "revoke", "--tenant", "acme", "key_1"): "No API key has the id",
        ("tenants", "create", "acme"): "There is a tenant called 'acme' already",
        ("tenants", "create", "Ac/me"): "cannot be a tenant",
        ("tenants", "quota", "nobody"): "No tenant is called",
    }.items():
        done = operate(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1
    unset = operate("tenants", "create", "more", BOXYARD_SECRET_KEYS="")
    assert "BOXYARD_SECRET_KEYS is not set" in unset.stderr
    unfit = operate("tenants", "list", BOXYARD_REDIS_URL="http://:hush@here")
    assert "BOXYARD_REDIS_URL: write redis://" in unfit.stderr
    assert "hush" not in unfit.stderr


def test_the_base_install_says_which_extra_is_missing(tmp_path: Path) -> None:
    """The command line where redis cannot be found, as on the base install."""
    code = (
        "import importlib.util as util, sys; found = util.find_spec; "
        "util.find_spec = lambda name, *_: None if name == 'redis' else found(name, *_); "
        "from boxyard_producer.cli import main; sys.argv = ['boxyard', 'keys', 'list']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=outside(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1
    assert install_command("ledger") in done.stderr


def test_a_stack_makes_its_sealing_key_once_and_keeps_it_for_its_owner(tmp_path: Path) -> None:
    first = Credentials.keep(tmp_path, "http://127.0.0.1:1")
    Fernet(first.secret_keys)
    assert Credentials.keep(tmp_path, "http://127.0.0.1:2").secret_keys == first.secret_keys
    kept = tmp_path / "credentials.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_each_process_of_a_stack_gets_the_secrets_that_it_needs_alone(
    stack: RunningStack,
) -> None:
    known = stack.credentials
    holders: dict[str, set[str]] = {known.api_key: set(), known.webhook_secret: set()}
    holders[known.secret_keys] = set()
    for pid in descendants(stack.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        environment = Path(f"/proc/{pid}/environ").read_text()
        for secret, names in holders.items():
            if secret in environment or secret in command:
                names.add("deliver" if " deliver " in command else command)
    (server,) = holders[known.api_key]
    assert "boxyard_producer.server" in server
    assert holders[known.webhook_secret] == {server}
    assert holders[known.secret_keys] == {server, "deliver"}


def test_a_new_environment_of_compose_holds_a_sealing_key(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for name in ("deploy/new-env.sh", ".env.example"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["sh", tmp_path / "deploy/new-env.sh"], check=True, capture_output=True)
    lines = (tmp_path / ".env").read_text().splitlines()
    (key,) = (line.partition("=")[2] for line in lines if line.startswith("BOXYARD_SECRET_KEYS="))
    Fernet(key)


def test_a_model_that_was_served_is_forgotten_by_the_operator(
    operate: Operate, ledger: Ledger
) -> None:
    worker = WorkerRecord(
        id="w", model="my-own", host="here", device="cpu", warm=True, started_at=utc_now()
    )
    ledger.workers.beat(worker, ttl_s=60)
    refused = operate("models", "forget", "my-own")
    assert refused.returncode == 1
    assert "Stop its workers first" in refused.stderr
    ledger.workers.leave("w")
    done = operate("models", "forget", "my-own")
    assert (done.returncode, done.stdout) == (0, "")
    assert "my-own is forgotten" in done.stderr
    assert ledger.served_models.names() == set()
    again = operate("models", "forget", "my-own")
    assert again.returncode == 1
    assert "No worker has served" in again.stderr
