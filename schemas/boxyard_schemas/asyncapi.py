"""The AsyncAPI document: what callbacks say, and what rings on the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from .events import MAX_EVENT_BYTES, Event
from .jobs import EventType
from .queues import DETECT_TASK, Bell, detect_queue

BELL = "bell"
_JSON = "application/json"
_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"

_CALLBACKS = f"""A POST to the URL that a job or an endpoint names, when the job ends. Signed as
Standard Webhooks say: `webhook-signature` holds `v1,` and the base64 of an HMAC-SHA256 over
`webhook-id.webhook-timestamp.body`, once for each secret that is good, parted by spaces. It comes
at least once, always under the same `webhook-id`, in at most {MAX_EVENT_BYTES - 1:,} bytes. Any
answer but 2xx makes it come again; 410 disables the endpoint. Types and members may be added."""

_BELLS = f"""A list of Redis, written and read by Celery (task protocol 2). A bell says that the
model's index has ready jobs; it carries none, may be lost and may come twice. kombu keeps each as
a JSON object whose `body` is the base64 of the payload described here, beside `headers`.
Workers take the task `{DETECT_TASK}` alone."""


class Recording(BaseModel):
    """A message as the stack sent it."""

    model_config = ConfigDict(frozen=True)

    headers: dict[str, str]
    body: str


def describe_messages(recordings: Mapping[str, Recording]) -> dict[str, Any]:
    """An AsyncAPI 3.0 document.

    Args:
        recordings: an example of each type of event, and of the bell, by name.
    """
    events = {str(kind): _event(kind, recordings[kind]) for kind in EventType}
    bell = _bell(recordings[BELL])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Boxyard",
            "version": "1",
            "description": "What Boxyard sends: signed callbacks to consumers, and bells to its "
            "own workers. Every example was sent by a stack.",
        },
        "defaultContentType": _JSON,
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "redis",
                "description": "`BOXYARD_REDIS_URL`.",
                "variables": {"host": {"default": "localhost:6379"}},
            }
        },
        "channels": {
            "callbacks": _channel(None, "Callbacks", _CALLBACKS, events) | {"servers": []},
            "bells": _channel(detect_queue("{model}"), "Bells", _BELLS, {BELL: bell})
            | {
                "servers": [{"$ref": "#/servers/broker"}],
                "parameters": {"model": {"description": "Its mmdet-3 name."}},
            },
        },
        "operations": {
            "tellEnd": _operation("send", "callbacks", events, "A job has ended.")
            | {"bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}}},
            "ringBell": _operation("send", "bells", {BELL: bell}, "A model has ready jobs."),
            "hearBell": _operation("receive", "bells", {BELL: bell}, "A worker looks for jobs."),
        },
        "components": {"messages": events | {BELL: bell}, "schemas": _schemas()},
    }


def _channel(
    address: str | None, title: str, description: str, messages: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "address": address,
        "title": title,
        "description": description,
        "messages": {name: {"$ref": _MESSAGES + name} for name in messages},
    }


def _operation(
    action: str, channel: str, messages: Mapping[str, Any], summary: str
) -> dict[str, Any]:
    place = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": place},
        "summary": summary,
        "messages": [{"$ref": f"{place}/messages/{name}"} for name in messages],
    }


def _event(kind: EventType, recording: Recording) -> dict[str, Any]:
    payload = {
        "allOf": [
            {"$ref": _SCHEMAS + Event.__name__},
            {"type": "object", "properties": {"type": {"const": kind}}},
        ]
    }
    headers = {"$ref": _SCHEMAS + "WebhookHeaders"}
    return _message(kind, f"A job ended: {kind}.", headers, payload, recording)


def _bell(recording: Recording) -> dict[str, Any]:
    payload = {
        "type": "array",
        "description": "Positional arguments, keyword arguments, and what Celery embeds.",
        "items": [
            {"type": "array", "maxItems": 0},
            {"$ref": _SCHEMAS + Bell.__name__},
            {"type": "object"},
        ],
        "minItems": 3,
        "maxItems": 3,
    }
    headers = {
        "type": "object",
        "required": ["task", "id"],
        "properties": {
            "task": {"type": "string", "const": DETECT_TASK},
            "id": {"type": "string", "description": "Celery's own."},
        },
    }
    return _message(BELL, "This model has ready jobs.", headers, payload, recording)


def _message(
    name: str, summary: str, headers: Any, payload: Any, recording: Recording
) -> dict[str, Any]:
    example = {"headers": recording.headers, "payload": json.loads(recording.body)}
    return {
        "name": name,
        "summary": summary,
        "contentType": _JSON,
        "headers": headers,
        "payload": payload,
        "examples": [example],
    }


def _schemas() -> dict[str, Any]:
    _, made = models_json_schema(
        [(Event, "serialization"), (Bell, "validation")], ref_template=_SCHEMAS + "{model}"
    )
    found: dict[str, Any] = _as_asyncapi(made["$defs"])
    return found | {"WebhookHeaders": _WEBHOOK_HEADERS}


def _as_asyncapi(schema: Any) -> Any:
    """AsyncAPI's schemas are of draft 7, and their discriminator is a name alone."""
    if isinstance(schema, list):
        return [_as_asyncapi(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {"prefixItems": "items"}
    made = {renamed.get(name, name): _as_asyncapi(value) for name, value in schema.items()}
    if isinstance(made.get("discriminator"), dict):
        made["discriminator"] = made["discriminator"]["propertyName"]
    return made


_WEBHOOK_HEADERS = {
    "type": "object",
    "required": ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "content-type": {"type": "string", "const": _JSON},
        "webhook-id": {
            "type": "string",
            "description": "The same over attempts and replays: the key for dropping duplicates.",
        },
        "webhook-timestamp": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Seconds since 1970 when this attempt was signed.",
        },
        "webhook-signature": {
            "type": "string",
            "pattern": "^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$",
        },
    },
}
