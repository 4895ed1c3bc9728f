"""What docker compose makes of the stack; skipped where there is none."""

import re
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from boxyard_worker.egress import EgressSettings

from .conftest import configure

pytestmark = pytest.mark.docker
BASE = {"valkey", "s3", "bucket", "producer", "deliver", "sweep"}


def test_without_secrets_it_says_what_to_do(compose_command: list[str], stack: Path) -> None:
    with pytest.raises(ValueError, match=r"BOXYARD_\w+ is missing a value: run deploy/new-env.sh"):
        configure(compose_command, stack)


def test_the_cpu_profile_is_where_it_begins(
    compose_command: list[str], stack_with_secrets: Path
) -> None:
    services = configure(compose_command, stack_with_secrets)
    assert set(services) == {*BASE, "detect-demo"}


def test_the_gpu_profile_pins_each_worker_where_the_operator_says(
    compose_command: list[str], stack_with_secrets: Path
) -> None:
    services = configure(
        compose_command, stack_with_secrets, COMPOSE_PROFILES="gpu", BOXYARD_GPU_VFNET="3"
    )
    assert set(services) > {*BASE, "detect-vfnet"}
    assert "detect-demo" not in services
    (device,) = services["detect-vfnet"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == ["3"]


def test_the_metrics_profile_adds_two_that_keep_to_themselves(
    compose_command: list[str], stack_with_secrets: Path
) -> None:
    services = configure(compose_command, stack_with_secrets, COMPOSE_PROFILES="cpu,metrics")
    assert set(services) == {*BASE, "detect-demo", "prometheus", "grafana"}
    assert set(services["grafana"]["networks"]) == {"board"}
    assert [name for name in services if "board" in services[name]["networks"]] == [
        "grafana",
        "prometheus",
    ]
    (port,) = services["grafana"]["ports"]
    assert (port["host_ip"], port["published"]) == ("127.0.0.1", "3000")


def test_a_worker_that_an_operator_adds_is_found_by_prometheus(
    compose_command: list[str], stack_with_secrets: Path
) -> None:
    (stack_with_secrets / "docker-compose.override.yml").write_text(
        "services:\n"
        "  detect-another:\n"
        "    extends: {file: docker-compose.yml, service: detect-vfnet}\n"
        "    command: [detect, --model=another]\n"
    )
    services = configure(compose_command, stack_with_secrets, COMPOSE_PROFILES="gpu,metrics")
    assert services["detect-another"]["networks"]["inside"]["aliases"] == ["detect"]
    assert services["detect-another"]["environment"]["BOXYARD_METRICS_PORT"] == "9100"


def test_ports_may_be_left_as_they_are_named_or_all_opened(
    compose_command: list[str], stack_with_secrets: Path
) -> None:
    for given, ports in (
        ({}, frozenset({80, 443})),
        ({"BOXYARD_ALLOWED_PORTS": "8443"}, frozenset({8443})),
        ({"BOXYARD_ALLOWED_PORTS": ""}, frozenset()),
    ):
        services = configure(compose_command, stack_with_secrets, **given)
        passed = services["deliver"]["environment"]["BOXYARD_ALLOWED_PORTS"]
        assert EgressSettings.model_validate({"allowed_ports": passed}).allowed_ports == ports


def test_only_who_needs_a_secret_is_told(
    compose_command: list[str], stack_with_secrets: Path
) -> None:
    services = configure(compose_command, stack_with_secrets, COMPOSE_PROFILES="cpu,metrics")
    text = (stack_with_secrets / ".env").read_text()
    told = {
        secret: {name for name in services if value in str(services[name])}
        for secret, value in re.findall(r"^(BOXYARD_\w+)=(.+)$", text, re.MULTILINE)
    }
    storage = {"s3", "bucket", "producer", "detect-demo", "deliver", "sweep"}
    assert told["BOXYARD_S3_SECRET_ACCESS_KEY"] == storage
    assert told["BOXYARD_API_KEY"] == told["BOXYARD_WEBHOOK_SECRET"] == {"producer"}
    assert told["BOXYARD_GRAFANA_PASSWORD"] == {"grafana"}
    assert told["BOXYARD_SECRET_KEYS"] == {"producer", "deliver"}
    for role, name in {"server": "producer", "detect": "detect-demo", "monitor": "valkey"}.items():
        assert told[f"BOXYARD_REDIS_{role.upper()}_PASSWORD"] == {name}


def test_fresh_secrets_are_usable_and_are_not_written_over(stack_with_secrets: Path) -> None:
    text = (stack_with_secrets / ".env").read_text()
    values = dict(re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE))
    Webhook(values["BOXYARD_WEBHOOK_SECRET"])
    passwords = [values[name] for name in values if re.match(r"BOXYARD_REDIS_\w+_PASSWORD", name)]
    assert len(passwords) == 6
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in passwords)
    assert len({*passwords, values["BOXYARD_API_KEY"]}) == 7
    assert (stack_with_secrets / ".env").stat().st_mode & 0o077 == 0
    make_secrets(stack_with_secrets)
    assert (stack_with_secrets / ".env").read_text() == text


def test_an_older_env_keeps_its_values_and_gets_what_is_new(stack_with_secrets: Path) -> None:
    env = stack_with_secrets / ".env"
    whole = env.read_text()
    older = re.sub(r"BOXYARD_REDIS_\w+_PASSWORD=.*\n", "", whole)
    env.write_text(older)
    make_secrets(stack_with_secrets)
    assert env.read_text().startswith(older)
    assert set(re.findall(r"^\w+=", env.read_text(), re.MULTILINE)) == set(
        re.findall(r"^\w+=", whole, re.MULTILINE)
    )


def test_redis_users_are_known_by_digests_of_the_passwords_alone(
    stack_with_secrets: Path,
) -> None:
    values = dict(re.findall(r"^(\w+)=(.+)$", (stack_with_secrets / ".env").read_text(), re.M))
    first, *users = (stack_with_secrets / "deploy" / "users.acl").read_text().splitlines()
    assert first == "user default off ~* &* +@all"  # off: nobody comes as it
    assert len(users) == 6
    for user in users:
        _, role, state, digest, *rights = user.split()
        password = values[f"BOXYARD_REDIS_{role.upper()}_PASSWORD"]
        assert (state, digest) == ("on", "#" + sha256(password.encode()).hexdigest())
        assert password not in user
        assert "nopass" not in rights


def make_secrets(stack: Path) -> None:
    subprocess.run([stack / "deploy" / "new-env.sh"], check=True, capture_output=True)
