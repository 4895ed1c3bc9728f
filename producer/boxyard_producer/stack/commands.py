"""Which processes a stack runs, and the environment that they share."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .credentials import Credentials
from .environment import blobs_of
from .service import Service
from .settings import StackSettings

_SECRETS = {"BOXYARD_API_KEY", "BOXYARD_WEBHOOK_SECRET", "BOXYARD_SECRET_KEYS"}
_METRICS_PORT = "BOXYARD_METRICS_PORT"


def plan_services(
    settings: StackSettings, redis_url: str, credentials: Credentials
) -> list[Service]:
    """The server and the workers, not yet started."""
    shared = share_environment(settings, redis_url)
    sealing = {"BOXYARD_SECRET_KEYS": credentials.secret_keys}
    server = ("boxyard_producer.server", "--host", settings.host, "--port", str(settings.port))
    bootstrap = {
        "BOXYARD_API_KEY": credentials.api_key,
        "BOXYARD_WEBHOOK_SECRET": credentials.webhook_secret,
    }
    # Each gets the secrets that it needs, and no other's.
    commands: dict[str, tuple[Sequence[str], dict[str, str]]] = {
        "server": (server, sealing | bootstrap),
        "detect": (("boxyard_worker.cli", *_detect(settings)), {}),
        "deliver": (("boxyard_worker.cli", "deliver"), sealing),
        "sweep": (("boxyard_worker.cli", "sweep"), {}),
    }
    ports = metrics_ports(shared, list(commands))
    return [
        Service(
            name,
            [sys.executable, "-P", "-m", *words],
            {**shared, **secrets, **ports[name]},
            _log(settings, name),
        )
        for name, (words, secrets) in commands.items()
    ]


def metrics_ports(shared: Mapping[str, str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """On one machine the processes cannot share a port: each takes the next one."""
    first = shared.get(_METRICS_PORT, "")
    if not first.isdecimal() or int(first) == 0:
        return {name: {} for name in names}
    return {name: {_METRICS_PORT: str(int(first) + step)} for step, name in enumerate(names)}


def share_environment(settings: StackSettings, redis_url: str) -> dict[str, str]:
    """What every process of the stack reads; what the operator set in `BOXYARD_…` stays."""
    inherited = {
        name: value for name, value in settings.environment.items() if name not in _SECRETS
    }
    environment = {
        "BOXYARD_BLOB_URL": blobs_of(settings.data),
        "BOXYARD_PUBLIC_URL": settings.url,
        **inherited,
        "BOXYARD_REDIS_URL": redis_url,
        "PYTHONUNBUFFERED": "1",
    }
    if settings.allow_networks:
        environment["BOXYARD_ALLOWED_NETWORKS"] = ",".join(settings.allow_networks)
        # Who opens a private network runs services on ports of their own there.
        environment.setdefault("BOXYARD_ALLOWED_PORTS", "")
    return environment


def _detect(settings: StackSettings) -> list[str]:
    words = ["detect", "--model", settings.model, "--device", settings.device]
    words += ["--weights", settings.weights] if settings.weights else []
    return [*words, "--detector", settings.detector] if settings.detector else words


def _log(settings: StackSettings, name: str) -> Path:
    return settings.data / "logs" / f"{name}.log"
