"""The contract that `/docs` and `/openapi.json` show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from boxyard_schemas import JobRequest, ScoreRequest

from .problems import PROBLEM_JSON

_FASTAPI_OWN = ("HTTPValidationError", "ValidationError")


def install_openapi(app: FastAPI) -> None:
    """Makes the application describe its problem documents as such."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way


def _describe(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        webhooks=app.webhooks.routes,
        separate_input_output_schemas=False,
    )
    schemas = schema["components"]["schemas"]
    schema["components"]["schemas"] = dict(sorted((schemas | _bodies()).items()))
    for responses in _responses(schema):
        _describe_problems(responses)
    for name in _FASTAPI_OWN:
        schema["components"]["schemas"].pop(name, None)
    return schema


def _bodies() -> dict[str, Any]:
    """What the routes read themselves, beside FastAPI."""
    _, schema = models_json_schema(
        [(JobRequest, "validation"), (ScoreRequest, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    found: dict[str, Any] = schema["$defs"]
    return found


def _responses(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in (*schema["paths"].values(), *schema["webhooks"].values()):
        for operation in path.values():
            yield operation["responses"]


def _describe_problems(responses: dict[str, Any]) -> None:
    for status in [status for status in responses if status >= "400"]:
        body = responses[status]["content"]["application/json"]
        if body["schema"]["$ref"].endswith("/HTTPValidationError"):
            del responses[status]  # FastAPI assumes it for any parameter, even a plain text
        else:
            responses[status]["content"] = {PROBLEM_JSON: body}
