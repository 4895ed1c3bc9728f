"""Writes the contract for other languages: JSON Schema of each public word, OpenAPI, AsyncAPI.

`make contract` runs it; a test fails when what is committed differs from what the code says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

import boxyard_schemas as words
from boxyard_ledger import Ledger, LedgerSettings
from boxyard_producer.server import ServerSettings, create_app
from boxyard_schemas.asyncapi import Recording, describe_messages
from boxyard_schemas.errors import Problem
from boxyard_schemas.words import Request

FOLDER = Path(__file__).parent / "generated"
RECORDED = Path(__file__).parent / "recorded"
"""What a stack really sent (`make recordings`)."""

PUBLIC: tuple[type[BaseModel], ...] = (
    words.ApiKey,
    words.ApiKeyCreated,
    words.ApiKeyList,
    words.ApiKeyRequest,
    words.DeliveriesReplayed,
    words.DeliveryPage,
    words.DeliveryReplay,
    words.Endpoint,
    words.EndpointChange,
    words.EndpointCreated,
    words.EndpointList,
    words.EndpointRequest,
    words.Event,
    words.Job,
    words.JobDeliveryList,
    words.JobPage,
    words.JobRequest,
    words.JobResult,
    words.Model,
    words.ModelList,
    words.Rotation,
    words.ScoreRequest,
    words.ScoreResponse,
    words.Upload,
    words.WebhookSecret,
    Problem,
)


def generate() -> dict[str, str]:
    """File name to text, the same on every run."""
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in _schemas()}


def _schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    for word in PUBLIC:
        mode: Literal["validation", "serialization"] = (
            "validation" if issubclass(word, Request) else "serialization"
        )
        dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        yield f"{word.__name__}.json", dialect | word.model_json_schema(mode=mode)
    # The routes are described without a server behind them: a ledger connects when first used.
    with Ledger.open(LedgerSettings()) as ledger:
        yield "openapi.json", create_app(ServerSettings(), ledger).openapi()
    recordings = {
        path.stem: Recording.model_validate_json(path.read_bytes())
        for path in RECORDED.glob("*.json")
    }
    yield "asyncapi.json", describe_messages(recordings)


def main() -> None:
    """Brings the folder in line with the code."""
    FOLDER.mkdir(exist_ok=True)
    texts = generate()
    for stale in {path.name for path in FOLDER.iterdir()} - texts.keys():
        (FOLDER / stale).unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
