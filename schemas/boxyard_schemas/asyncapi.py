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

HOW_CALLBACKS_COME = f"""A POST to the URL that a job or an endpoint names, when the job ends: JSON
in UTF-8 of at most {MAX_EVENT_BYTES - 1:,} bytes, in which members without a value are left out. It
comes at least once, always under the same `webhook-id`. Answer 2xx within 20 seconds: anything else
makes it come again, ten times in three days; 410 disables the endpoint. Types and members may be
added: answer 2xx to those that you do not know. `data.result` is there while the event stays below
that size; else GET `data.result_url` with `Authorization: Bearer` and an API key that may read."""

HOW_THEY_ARE_SIGNED = """Standard Webhooks: `v1,` and the base64 of an HMAC-SHA256 over the bytes
`webhook-id.webhook-timestamp.body`, once for each secret that is good, parted by spaces; its key is
what follows `whsec_` in the secret, decoded from base64. One must be yours; pass over versions
other than v1. Refuse timestamps more than five minutes from now."""

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
            "own workers. Every example was sent by a stack, but for those called `linked`.",
        },
        "defaultContentType": _JSON,
        "servers": {
            "consumer": {
                "host": "{host}",
                "protocol": "https",
                "description": "Yours: http too, and on other ports than 443 and 80 where the "
                "operator allows it.",
                "variables": {"host": {"default": "consumer.example.com"}},
                "security": [{"$ref": "#/components/securitySchemes/signature"}],
            },
            "broker": {
                "host": "{host}",
                "protocol": "redis",
                "description": "`BOXYARD_REDIS_URL`; `rediss` with TLS.",
                "variables": {"host": {"default": "localhost:6379"}},
                "security": [{"$ref": "#/components/securitySchemes/redis"}],
            },
        },
        "channels": {
            "callbacks": _channel("consumer", None, "Callbacks", HOW_CALLBACKS_COME, events),
            "bells": _channel("broker", detect_queue("{model}"), "Bells", _BELLS, {BELL: bell})
            | {"parameters": {"model": {"description": "Its mmdet-3 name."}}},
        },
        "operations": {
            "tellEnd": _operation("send", "callbacks", events, "A job has ended.")
            | {"bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}}},
            "ringBell": _operation("send", "bells", {BELL: bell}, "A model has ready jobs."),
            "hearBell": _operation("receive", "bells", {BELL: bell}, "A worker looks for jobs."),
        },
        "components": {
            "messages": events | {BELL: bell},
            "schemas": _schemas(),
            "securitySchemes": {
                "signature": {
                    "type": "httpApiKey",
                    "name": "webhook-signature",
                    "in": "header",
                    "description": HOW_THEY_ARE_SIGNED,
                },
                "redis": {"type": "userPassword", "description": "A user of Redis for each part."},
            },
        },
    }


def _channel(
    server: str, address: str | None, title: str, description: str, messages: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "address": address,
        "title": title,
        "description": description,
        "servers": [{"$ref": f"#/servers/{server}"}],
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
        "title": kind.title().replace(".", ""),
        "allOf": [
            {"$ref": _SCHEMAS + Event.__name__},
            {"type": "object", "properties": {"type": {"const": kind}}},
        ],
    }
    headers = {"$ref": _SCHEMAS + "WebhookHeaders"}
    message = _message(kind, f"A job ended: {kind}.", headers, payload, recording)
    message["examples"] += _linked(recording)
    return message


def _linked(recording: Recording) -> list[dict[str, Any]]:
    """The same event, as if its result would make it too large."""
    event = json.loads(recording.body)
    if not event["data"].pop("result", None):
        return []
    summary = "As it comes where its result would make it too large, as those of most jobs do."
    return [{"name": "linked", "summary": summary, "payload": event}]


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
        [(Event, "serialization"), (Bell, "serialization")], ref_template=_SCHEMAS + "{model}"
    )
    found: dict[str, Any] = _as_sent(made["$defs"])
    return found | {"WebhookHeaders": _WEBHOOK_HEADERS}


def _as_sent(schema: Any) -> Any:
    """In draft 7, as AsyncAPI's schemas are; and what is null is left out, all else always there.

    Without discriminators: AsyncAPI's are by the names of schemas, and ours by a word in `status`.
    """
    if isinstance(schema, list):
        return [_as_sent(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if _NULL in schema.get("anyOf", ()):
        (only,) = (each for each in schema["anyOf"] if each != _NULL)
        schema = {**_less(schema, "anyOf", "title"), **only}
    made = {name: _as_sent(value) for name, value in _less(schema, *_UNSAID).items()}
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
    if isinstance(members := schema.get("properties"), dict):
        made["required"] = [n for n, each in members.items() if _NULL not in each.get("anyOf", ())]
    return made


def _less(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in names}


_NULL = {"type": "null"}
_UNSAID = ("default", "discriminator")
_WEBHOOK_HEADERS = {
    "type": "object",
    "required": ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "content-type": {"type": "string", "const": _JSON},
        "webhook-id": {
            "type": "string",
            "pattern": "^dlv_[0-9a-f]{32}$",
            "description": "The same over attempts and replays: the key for dropping duplicates.",
        },
        "webhook-timestamp": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Seconds since 1970 when this attempt was signed.",
        },
        "webhook-signature": {
            "type": "string",
            "pattern": "^v[0-9a-z]+,[^ ,]+( v[0-9a-z]+,[^ ,]+)*$",
            "description": "One or several, parted by spaces.",
        },
    },
}
