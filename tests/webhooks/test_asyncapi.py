"""The AsyncAPI document says what the stack sends, by examples that it has sent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from boxyard_producer.webhooks import verify
from boxyard_schemas import Bell, EventType
from boxyard_schemas.asyncapi import BELL, Recording
from pictures import png, scene

from .recording import SECRET, record

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "schemas" / "generated" / "asyncapi.json").read_text())
MESSAGES = DOCUMENT["components"]["messages"]
NAMES = [*map(str, EventType), BELL]
OFFICIAL = ROOT / "examples/consumers/node/node_modules/@asyncapi/specs/schemas"
MAPS = ("metadata", "versions")
"""Members whose names are data."""


def recorded(name: str) -> Recording:
    text = (ROOT / "schemas" / "recorded" / f"{name}.json").read_bytes()
    return Recording.model_validate_json(text)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def resolve(reference: str) -> Any:
    found = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def validator(schema: Any) -> jsonschema.Draft7Validator:
    whole = {"allOf": [schema], "components": DOCUMENT["components"]}
    jsonschema.Draft7Validator.check_schema(whole)
    return jsonschema.Draft7Validator(whole)


def shape(part: Any, place: str = "") -> set[tuple[str, str]]:
    """Each member's place and kind; members of a list are alike."""
    if isinstance(part, list):
        return {(place, "list")}.union(*(shape(each, f"{place}[]") for each in part))
    if isinstance(part, dict):
        known = {} if place.endswith(MAPS) else part
        return {(place, "object")}.union(
            *(shape(value, f"{place}.{name}") for name, value in known.items())
        )
    return {(place, "number" if isinstance(part, float) else type(part).__name__)}


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 20
    assert all(resolve(each) for each in found)


@pytest.mark.parametrize("name", NAMES)
def test_every_message_has_an_example_that_fits_its_schemas(name: str) -> None:
    first, *_ = examples = MESSAGES[name]["examples"]
    validator(MESSAGES[name]["headers"]).validate(first["headers"])
    for example in examples:
        validator(MESSAGES[name]["payload"]).validate(example["payload"])
        for other in set(NAMES) - {name}:
            with pytest.raises(jsonschema.ValidationError):
                validator(MESSAGES[other]["payload"]).validate(example["payload"])


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_what_was_recorded(name: str) -> None:
    example, *_ = MESSAGES[name]["examples"]
    assert example["headers"] == recorded(name).headers
    assert example["payload"] == json.loads(recorded(name).body)


def test_an_event_with_a_result_is_shown_with_a_link_in_its_place_too() -> None:
    for name in ("job.succeeded", "job.failed"):
        first, linked = MESSAGES[name]["examples"]
        assert linked["name"] == "linked"
        assert linked["payload"]["data"]["result_url"]
        left_out = first["payload"]["data"].keys() - linked["payload"]["data"].keys()
        assert left_out == {"result"}


def test_callbacks_go_to_the_consumer_alone_and_say_how_they_are_secured() -> None:
    for channel, server in (("callbacks", "consumer"), ("bells", "broker")):
        (reference,) = DOCUMENT["channels"][channel]["servers"]
        assert reference == {"$ref": f"#/servers/{server}"}
    (reference,) = DOCUMENT["servers"]["consumer"]["security"]
    scheme = resolve(reference["$ref"])
    assert (scheme["type"], scheme["in"]) == ("httpApiKey", "header")
    assert scheme["name"] in DOCUMENT["components"]["schemas"]["WebhookHeaders"]["properties"]


def test_code_that_is_generated_has_names_for_events_and_no_members_that_may_be_null() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    text = json.dumps(schemas)
    for word in ('"null"', '"discriminator"', '"default"', "prefixItems"):
        assert word not in text
    assert schemas["ImageFailure"]["required"] == ["status", "code", "detail"]
    titles = {MESSAGES[kind]["payload"]["title"] for kind in EventType}
    assert titles == {"JobSucceeded", "JobFailed", "JobCancelled", "JobExpired", "JobDead"}


def test_a_signature_of_a_newer_version_beside_ours_fits() -> None:
    headers = recorded("job.dead").headers
    newer = f"v2,bmV3ZXI= {headers['webhook-signature']}"
    validator(MESSAGES["job.dead"]["headers"]).validate(headers | {"webhook-signature": newer})


@pytest.mark.parametrize("kind", EventType, ids=str)
def test_the_page_of_the_api_shows_the_same_callback(kind: EventType) -> None:
    contract = json.loads((ROOT / "schemas" / "generated" / "openapi.json").read_text())
    shown = contract["webhooks"]["jobEnded"]["post"]
    headers = {each["name"] for each in shown["parameters"]}
    assert headers == recorded(kind).headers.keys() - {"content-type"}
    whole = {**shown["requestBody"]["content"]["application/json"]["schema"], **contract}
    jsonschema.Draft202012Validator(whole).validate(json.loads(recorded(kind).body))
    assert DOCUMENT["channels"]["callbacks"]["description"] in shown["description"]


@pytest.mark.parametrize("kind", EventType, ids=str)
def test_every_recorded_event_was_signed_by_a_stack(kind: EventType) -> None:
    found = recorded(kind)
    event = verify(found.headers, found.body.encode(), SECRET, tolerance_s=math.inf)
    assert event.type is kind


def test_a_stack_of_today_sends_messages_of_the_recorded_shapes(tmp_path: Path) -> None:
    sent = record(tmp_path, png(scene()))
    assert sent.keys() == set(NAMES)
    for name, message in sent.items():
        body = json.loads(message.body)
        assert shape(body) == shape(json.loads(recorded(name).body)), f"{name}: make recordings"
        assert message.headers.keys() == recorded(name).headers.keys()
        validator(MESSAGES[name]["payload"]).validate(body)
    Bell.model_validate(json.loads(sent[BELL].body)[1])


@pytest.mark.node
@pytest.mark.parametrize("version", ["3.0.0"])
def test_the_document_fits_the_official_schema(version: str) -> None:
    assert DOCUMENT["asyncapi"] == version
    schema = json.loads((OFFICIAL / f"{version}-without-$id.json").read_text())
    jsonschema.Draft7Validator(schema).validate(DOCUMENT)
