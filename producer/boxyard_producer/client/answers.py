"""How an answer is read: a word of the contract, or an error of the tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from boxyard_schemas.errors import (
    BoxyardError,
    Problem,
    RequestError,
    ServiceError,
    Unavailable,
)

Word = TypeVar("Word", bound=BaseModel)

Outcome = httpx.Response | httpx.TransportError
"""What became of a request: an answer, or why there was none."""


def accept(outcome: Outcome) -> httpx.Response:
    """The answer, when it is a success.

    Raises:
        BoxyardError: the kind that the problem document names, or `Unavailable` without one.
    """
    if isinstance(outcome, httpx.TransportError):
        raise _unreachable(outcome) from outcome
    if outcome.is_success:
        return outcome
    raise _refusal(outcome)


def read(response: httpx.Response, word: type[Word]) -> Word:
    """The body as a word of the contract.

    Raises:
        ServiceError: the body is something else.
    """
    try:
        return word.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceError(
            f"{_server(response.request)} did not answer with a {word.__name__}: "
            "is it a Boxyard server of this version?"
        ) from error


def _refusal(response: httpx.Response) -> BoxyardError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return _without_problem(response)
    kind = _kinds().get(problem.code) or _branch(problem.status)
    return kind(problem.detail, **(problem.model_extra or {}))


def _without_problem(response: httpx.Response) -> BoxyardError:
    """Something in front of the server answered, or it is none of ours."""
    kind = Unavailable if response.status_code in (502, 503, 504) else _branch(response.status_code)
    where = f"{response.request.method} {_server(response.request)}{response.request.url.path}"
    return kind(f"{where} answered {response.status_code} {response.reason_phrase}.")


def _unreachable(error: httpx.TransportError) -> Unavailable:
    why = str(error) or type(error).__name__
    return Unavailable(
        f"{_server(error.request)} cannot be reached ({why}). "
        "Is the server up (`boxyard up`), and is BOXYARD_URL right?"
    )


def _branch(status: int) -> type[BoxyardError]:
    return RequestError if 400 <= status < 500 else ServiceError


def _kinds() -> dict[str, type[BoxyardError]]:
    """Error classes by their stable code; a process may have kinds of its own, without one."""
    families = (kind for root in (RequestError, ServiceError) for kind in _family(root))
    return {kind.code: kind for kind in families if "code" in vars(kind)}


def _family(kind: type[BoxyardError]) -> Iterator[type[BoxyardError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def _server(request: httpx.Request) -> str:
    """Scheme, host and port: never the credentials that a URL may hold."""
    return f"{request.url.scheme}://{request.url.netloc.decode()}"
