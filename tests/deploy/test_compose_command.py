"""What docker compose makes of the stack; skipped where there is none."""

import re
import subprocess
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
    services = configure(compose_command, stack_with_secrets)
    told = {name for name in services if "BOXYARD_API_KEY" in str(services[name])}
    assert told == {"producer"}


def test_fresh_secrets_are_usable_and_are_not_written_over(stack_with_secrets: Path) -> None:
    text = (stack_with_secrets / ".env").read_text()
    values = dict(re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE))
    Webhook(values["BOXYARD_WEBHOOK_SECRET"])
    assert re.fullmatch(r"[0-9a-f]{48}", values["BOXYARD_REDIS_PASSWORD"])
    assert values["BOXYARD_API_KEY"] != values["BOXYARD_REDIS_PASSWORD"]
    assert (stack_with_secrets / ".env").stat().st_mode & 0o077 == 0
    again = subprocess.run(
        [stack_with_secrets / "deploy" / "new-env.sh"], capture_output=True, check=False
    )
    assert again.returncode == 1
    assert (stack_with_secrets / ".env").read_text() == text
