"""How errors are answered: RFC 9457 problem documents, whatever raised them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from boxyard_schemas.errors import (
    BoxyardError,
    InvalidRequest,
    NotFound,
    Problem,
    ServiceError,
    SetupError,
    Unauthorized,
    Unavailable,
)

from .explanations import explain

PROBLEM_JSON = "application/problem+json"

_CALLER_GONE = 499
"""As nginx counts it: no status of HTTP's own says so."""

_log = structlog.get_logger(__name__)


class BodyRefused(HTTPException):
    """An error as the one kind of exception that FastAPI lets pass while it reads a body."""

    def __init__(self, error: BoxyardError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


def install_problems(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""
    app.add_exception_handler(BoxyardError, _answer_boxyard_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_surprise)


def answer(error: BoxyardError, path: str) -> Response:
    """The error as a response."""
    return _respond(error.problem(path), _headers(error))


def refuse(where: str, what: str) -> InvalidRequest:
    """One member of the body that does not fit, named."""
    return InvalidRequest(f"{where}: {what}", errors=[{"where": where, "what": what}])


def _respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


def _headers(error: BoxyardError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if (retry_after_s := error.data.get("retry_after_s")) is not None:
        return {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
    return {}


async def _answer_boxyard_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BoxyardError)
    if isinstance(error, SetupError):
        # Redis wants another password, or a secret key is not set: nothing of that is a caller's.
        _log.error("request.unserved", path=request.url.path, code=error.code, why=error.detail)
        hidden = Unavailable("The service is not set up right; its log says why.", retry_after_s=30)
        return answer(hidden, request.url.path)
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return await _answer_surprise(request, error)
    if error.status > HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("request.unserved", path=request.url.path, code=error.code, why=error.detail)
    return answer(error, request.url.path)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = explain(error.errors())
    detail = "; ".join(f"{each['where']}: {each['what']}" for each in errors)
    return answer(InvalidRequest(detail, errors=errors), request.url.path)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if isinstance(error, BodyRefused):
        return await _answer_boxyard_error(request, error.error)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # The one that FastAPI raises: it could not even begin to read the JSON.
        return answer(refuse("body", "this is not JSON"), path)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return answer(NotFound(f"There is nothing at {path}."), path)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    title = HTTPStatus(error.status_code).phrase
    problem = Problem(
        title=title.capitalize(),
        status=error.status_code,
        code=title.lower().replace(" ", "-"),
        detail=f"{request.method} {path}: {error.detail}",
        instance=path,
    )
    return _respond(problem, headers)


def _methods(request: Request) -> list[str]:
    """What the path answers to: Starlette names the methods of its first route alone."""
    if described := request.app.openapi()["paths"].get(request.url.path):
        return [name.upper() for name in described]
    routes = request.app.router.routes
    return [
        method
        for method in HTTPMethod
        if any(
            route.matches({**request.scope, "method": method.value})[0] is Match.FULL
            for route in routes
        )
    ]


async def _answer_nobody(request: Request, error: Exception) -> Response:
    # The caller went before its body was here. That is no fault, least of all one of the server's.
    return Response(status_code=_CALLER_GONE)


async def _answer_surprise(request: Request, error: Exception) -> Response:
    _log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    hidden = ServiceError("Something went wrong inside; the server's log says what.")
    return answer(hidden, request.url.path)


def responses(*kinds: type[BoxyardError]) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, for OpenAPI."""
    return {
        status: {
            "model": Problem,
            "description": " or ".join(kind.title for kind in kinds if kind.status == status),
        }
        for status in sorted({kind.status for kind in kinds})
    }
