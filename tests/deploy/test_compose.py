"""What docker-compose.yml promises, read from the file itself."""

import re
from typing import Any

import pytest

from boxyard_ledger import LedgerSettings
from boxyard_producer.server import ServerSettings
from boxyard_schemas.catalogue import catalogue
from boxyard_worker.deliver import DeliverSettings
from boxyard_worker.settings import DetectSettings
from boxyard_worker.sweep import SweepSettings

from .conftest import ROOT, Services

ONE_SHOT = {"bucket": "on-failure:5", "operator": "no", "weights": "no"}
GPU = {
    "detect-sparse-rcnn": "BOXYARD_GPU_SPARSE_RCNN",
    "detect-deformable-detr": "BOXYARD_GPU_DEFORMABLE_DETR",
    "detect-vfnet": "BOXYARD_GPU_VFNET",
    "detect-rtmdet-ins": "BOXYARD_GPU_RTMDET_INS",
}
NAMES = {
    "valkey",
    "s3",
    "bucket",
    "producer",
    "deliver",
    "sweep",
    "operator",
    "weights",
    "consumer",
    "prometheus",
    "grafana",
    "detect-demo",
    *GPU,
}
WITHOUT_REDIS = {"s3", "bucket", "weights", "consumer", "prometheus", "grafana"}
SETTINGS = (LedgerSettings, ServerSettings, DeliverSettings, SweepSettings, DetectSettings)
COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()


def test_the_stack_is_whole(services: Services) -> None:
    assert set(services) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_service_may_do_as_little_as_it_needs(services: Services, name: str) -> None:
    service = services[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all("noexec" in mount for mount in service["tmpfs"])
    assert service["pids_limit"] <= 4096


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_service_is_bounded_and_is_looked_after(services: Services, name: str) -> None:
    service = services[name]
    assert service["mem_limit"]
    assert service["stop_grace_period"]
    assert service["logging"]["options"]["max-size"]
    if name in ONE_SHOT:
        assert service["restart"] == ONE_SHOT[name]
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


def test_the_producer_and_grafana_are_reached_from_outside_and_at_first_from_this_machine(
    services: Services,
) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {
        "producer": ["${BOXYARD_LISTEN:-127.0.0.1}:${BOXYARD_PORT:-8000}:8000"],
        "grafana": ["127.0.0.1:${BOXYARD_GRAFANA_PORT:-3000}:3000"],
    }


def test_what_holds_data_reaches_nothing_and_keeps_it_in_named_volumes(
    services: Services,
) -> None:
    for name, volume in {"valkey": "jobs", "s3": "blobs"}.items():
        assert services[name]["networks"] == ["inside"]
        assert services[name]["volumes"][0] == f"{volume}:/data"
        assert all(more["read_only"] for more in services[name]["volumes"][1:])


@pytest.mark.parametrize(("name", "variable"), sorted(GPU.items()))
def test_each_card_model_has_a_worker_with_a_gpu_of_its_own_choice(
    services: Services, name: str, variable: str
) -> None:
    service = services[name]
    assert service["profiles"] == ["gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == [f"${{{variable}:-0}}"]
    assert device["capabilities"] == ["gpu"]
    (model,) = [word.partition("=")[2] for word in service["command"] if "--model" in word]
    assert model in catalogue()
    assert f"\n{variable}=" in EXAMPLE


@pytest.mark.parametrize("name", ["detect-demo", *sorted(GPU)])
def test_a_detect_worker_reads_what_was_pulled_and_changes_none_of_it(
    services: Services, name: str
) -> None:
    folder = "${BOXYARD_WEIGHTS_DIR:-weights}:/weights"
    assert services["weights"]["volumes"] == [folder]
    assert services[name]["volumes"] == [f"{folder}:ro"]
    for each in ("weights", name):
        assert services[each]["environment"]["BOXYARD_WEIGHTS_DIR"] == "/weights"
    assert "--weights" not in str(services[name]["command"])


def test_grace_is_longer_than_what_must_be_finished(services: Services) -> None:
    seconds = int(services["deliver"]["stop_grace_period"].removesuffix("s"))
    assert seconds > DeliverSettings().delivery_deadline_s + 10


def test_images_are_of_a_stated_version() -> None:
    froms = [*re.findall(r"image: ([^&\s]\S*)", COMPOSE)]
    for path in (ROOT / "deploy").glob("*.Dockerfile"):
        froms += re.findall(r"ARG BASE=(\S+)", path.read_text())
    assert len(froms) >= 7
    for image in froms:
        assert "latest" not in image
        assert ":" in image or image.startswith("boxyard-")


def every_environment(services: Services) -> dict[str, Any]:
    return {
        name: value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
    }


def test_every_setting_that_the_stack_passes_is_one_that_something_reads(
    services: Services,
) -> None:
    known = {f"BOXYARD_{field.upper()}" for kind in SETTINGS for field in kind.model_fields}
    passed = {name for name in every_environment(services) if name.startswith("BOXYARD_")}
    assert passed <= known
    assert {"BOXYARD_REDIS_URL", "BOXYARD_ALLOWED_PORTS", "BOXYARD_PULSE_FILE"} <= passed


def test_every_variable_of_the_stack_is_explained_and_every_explained_one_is_used() -> None:
    used = set(re.findall(r"\$\{(BOXYARD_\w+)", COMPOSE))
    explained = set(re.findall(r"^(?:# )?(BOXYARD_\w+)=", EXAMPLE, re.MULTILINE))
    assert used == explained


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_secret_stands_where_a_list_of_processes_shows_it(services: Services, name: str) -> None:
    service = services[name]
    shown = [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
    secrets = set(re.findall(r"\$\{(BOXYARD_\w+):\?", COMPOSE)) | set(
        service.get("environment", ())
    )
    assert not [word for word in shown if any(f"${secret}" in word for secret in secrets)]
    assert not [word for word in shown if re.search(r"\$\{BOXYARD_\w+:\?", word)]


@pytest.mark.parametrize("name", sorted(NAMES - WITHOUT_REDIS))
def test_each_part_comes_to_redis_as_its_own_user(services: Services, name: str) -> None:
    role = {"producer": "server", "valkey": "monitor"}.get(name, name.partition("-")[0])
    text = str(services[name]["environment"])
    assert set(re.findall(r"BOXYARD_REDIS_(\w+)_PASSWORD", text)) == {role.upper()}
    if name != "valkey":
        assert services[name]["environment"]["BOXYARD_REDIS_URL"].startswith(f"redis://{role}:$")


def test_no_secret_has_a_value_to_begin_with() -> None:
    for name in re.findall(r"\$\{(BOXYARD_\w+):\?", COMPOSE):
        assert f"\n{name}=\n" in EXAMPLE
        assert f"${{{name}:-" not in COMPOSE
