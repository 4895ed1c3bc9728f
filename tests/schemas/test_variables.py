"""A mistyped `BOXYARD_…` variable is named by every process, with the one that was meant."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from boxyard_producer import Client
from boxyard_schemas.errors import SetupError
from boxyard_schemas.variables import _known, unknown_variables

KNOWN = sorted(_known().values())
WORKER = (sys.executable, "-m", "boxyard_worker.cli")
COMMAND_LINE = (sys.executable, "-m", "boxyard_producer.cli")


def named(**environment: str) -> list[str]:
    return list(unknown_variables(environment))


def test_every_known_variable_is_passed_over_in_any_case() -> None:
    assert named(**dict.fromkeys(KNOWN, "1")) == []
    assert named(boxyard_max_batch="4") == []


@pytest.mark.parametrize("prefix", ["BOYXARD_", "BOX_YARD_", "BOXYARD", "BOXYRD_", "boxyard-"])
def test_a_mistake_in_the_prefix_is_found(prefix: str) -> None:
    for name in KNOWN[::4]:
        mistyped = prefix + name.removeprefix("BOXYARD_")
        assert named(**{mistyped: "1"}) == [f"{mistyped} is not a setting: did you mean {name}?"]


@pytest.mark.parametrize("name", KNOWN)
def test_two_letters_that_changed_places_are_found(name: str) -> None:
    letters = name.removeprefix("BOXYARD_")
    places = [each for each in range(len(letters) - 1) if letters[each] != letters[each + 1]]
    for place in random.Random(name).sample(places, min(3, len(places))):
        wrong = letters[:place] + letters[place + 1] + letters[place] + letters[place + 2 :]
        assert named(**{f"BOXYARD_{wrong}": "1"}) == [
            f"BOXYARD_{wrong} is not a setting: did you mean {name}?"
        ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BOXYARD_MAX_BATCHES", "BOXYARD_MAX_BATCH"),
        ("BOXYARD_APIKEY", "BOXYARD_API_KEY"),
        ("BOXYARD_REDISURL", "BOXYARD_REDIS_URL"),
        ("BOXYARD_ALLOWED_NETWORK", "BOXYARD_ALLOWED_NETWORKS"),
        ("BOXYARD_RETENTION", "BOXYARD_RETENTION_S"),
        ("BOXYARD_URI", "BOXYARD_URL"),
        ("boxyard_max_bathc", "BOXYARD_MAX_BATCH"),
        ("BOXYRAD_MAX_BATCH", "BOXYARD_MAX_BATCH"),
        ("BOX_YARD_MAX_BATCH", "BOXYARD_MAX_BATCH"),
        ("BOXYARDMAX_BATCH", "BOXYARD_MAX_BATCH"),
        ("BOXYARD_MAXBATCH", "BOXYARD_MAX_BATCH"),
        ("BOXYARD__MAX_BATCH", "BOXYARD_MAX_BATCH"),
        ("BOXYRAD_MAX_BATHC", "BOXYARD_MAX_BATCH"),
        ("BOYXARD_MAX_BATCH_SIZE", "BOXYARD_MAX_BATCH"),
        ("BOXYARD-MAX-BATCH", "BOXYARD_MAX_BATCH"),
        ("boxyard.max.batch", "BOXYARD_MAX_BATCH"),
        ("BOXYARDS_MAX_BATCH", "BOXYARD_MAX_BATCH"),
        ("BOXYRD_API_KEY", "BOXYARD_API_KEY"),
        ("BOXYRAD_URI", "BOXYARD_URL"),
        ("BOXYARD_MAX_BATCH ", "BOXYARD_MAX_BATCH"),
    ],
)
def test_a_similar_name_is_suggested(name: str, meant: str) -> None:
    assert named(**{name: "1"}) == [f"{name} is not a setting: did you mean {meant}?"]


OTHERS = (
    "PATH HOME LANG LC_ALL PWD SHLVL _ TERM HOSTNAME USER SHELL EDITOR TZ http_proxy NO_PROXY "
    "PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH OMP_NUM_THREADS CUDA_VISIBLE_DEVICES "
    "NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES AWS_ACCESS_KEY_ID AWS_DEFAULT_REGION "
    "REDIS_URL REDIS_PASSWORD CELERY_BROKER_URL DATABASE_URL API_KEY MAX_BATCH "
    "MAX_BATHC LOG_LEVEL PORT KUBERNETES_SERVICE_HOST KUBERNETES_PORT_443_TCP COMPOSE_PROJECT_NAME "
    "COMPOSE_FILE DOCKER_HOST BOX_CLIENT_ID BOX_API_KEY BOX_URL BOXES_DATA_DIR VBOX_INSTALL_PATH "
    "BACKYARD_URL BOATYARD_URL BOATYARD_API_KEY SHIPYARD_TOKEN VITE_BOXYARD_URL MY_BOXYARD_API_KEY "
    "SKYBOX_URL JBOSS_HOME XDG_RUNTIME_DIR SSH_AUTH_SOCK CI GITHUB_TOKEN BOXYARD BOXYARDING_NOTES"
)


def test_variables_of_other_programs_are_passed_over() -> None:
    assert named(**dict.fromkeys(OTHERS.split(), "1")) == []


def test_a_name_like_no_other_is_named_alone() -> None:
    assert named(BOXYARD_QQQ="1") == ["BOXYARD_QQQ is not a setting: nothing reads it."]


def test_what_kubernetes_sets_is_passed_over() -> None:
    service = {
        "BOXYARD_REDIS_SERVICE_HOST": "10.0.0.1",
        "BOXYARD_REDIS_SERVICE_PORT": "6379",
        "BOXYARD_REDIS_SERVICE_PORT_HTTP": "6379",
        "BOXYARD_REDIS_PORT": "tcp://10.0.0.1:6379",
        "BOXYARD_REDIS_PORT_6379_TCP": "tcp://10.0.0.1:6379",
        "BOXYARD_REDIS_PORT_6379_TCP_PROTO": "tcp",
        "BOXYARD_REDIS_PORT_6379_TCP_ADDR": "10.0.0.1",
        "BOXYARD_PORT_80_TCP": "tcp://10.0.0.1:80",
        "BOX_YARD_PORT": "tcp://10.0.0.1:80",
    }
    assert named(**service) == []


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-m", "boxyard_producer.server"),
        (*WORKER, "detect"),
        (*WORKER, "deliver"),
        (*WORKER, "sweep"),
        (*WORKER, "weights"),
        (*WORKER, "pull", "no-such-model"),
        (*COMMAND_LINE, "models"),
        (*COMMAND_LINE, "up", "--port", "70000"),
    ],
    ids=lambda command: " ".join(command[2:4]),
)
def test_every_process_names_it(command: tuple[str, ...], tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if "BOXYARD" not in name}
    mistyped = {"BOXYARD_MAX_BATHC": "4", "BOXYARD_WEIGHTS_DIR": str(tmp_path)}
    done = subprocess.run(
        command,
        # A Redis that cannot be: the processes end at once.
        env=clean | mistyped | {"BOXYARD_REDIS_URL": "nowhere", "COLUMNS": "200"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.count("BOXYARD_MAX_BATHC is not a setting") == 1
    assert "did you mean BOXYARD_MAX_BATCH?" in done.stderr


def test_the_client_names_a_mistyped_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOXYARD_API_KEY", raising=False)
    monkeypatch.setenv("BOXYARD_API_KYE", "secret")
    with pytest.raises(SetupError, match="BOXYARD_API_KYE is not read") as refused:
        Client("http://127.0.0.1:9")
    assert "secret" not in str(refused.value)


def test_the_client_warns_of_a_mistyped_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOXYARD_URL", raising=False)
    monkeypatch.setenv("BOXYARD_ULR", "http://far.example")
    with pytest.warns(UserWarning, match=r"127\.0\.0\.1:8000 is asked\. BOXYARD_ULR is not read"):
        Client(api_key="key").close()
