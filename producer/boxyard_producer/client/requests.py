"""Every request that the client sends, built without sending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from pydantic import ValidationError

from boxyard_schemas import (
    DeliveryReplay,
    ImageSource,
    JobRequest,
    ModelFilters,
)
from boxyard_schemas.errors import InvalidRequest

from .options import JobOptions, ModelOptions, State
from .sources import Source


@dataclass(frozen=True)
class Request:
    """A request, ready to send; sending it twice does no harm, where it can be."""

    method: str
    path: str
    params: Mapping[str, str | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Source | None = None
    held_s: float = 0
    """How long the server may hold the answer back, beyond the ordinary time limit."""

    @property
    def repeatable(self) -> bool:
        """Whether its content can be read again."""
        return not isinstance(self.content, Source) or self.content.repeatable


def submit(
    model: str, images: Sequence[ImageSource], options: JobOptions, idempotency_key: str
) -> Request:
    """`POST /v1/jobs`.

    Raises:
        InvalidRequest: a member does not fit the contract.
    """
    members = {name: value for name, value in options.items() if name != "idempotency_key"}
    try:
        job = JobRequest.model_validate({"model": model, "images": tuple(images), **members})
    except ValidationError as error:
        raise invalid(error) from error
    return Request(
        "POST",
        "/v1/jobs",
        headers={"Content-Type": "application/json", "Idempotency-Key": idempotency_key},
        content=job.model_dump_json(exclude_none=True).encode(),
    )


def upload(content: bytes | Source) -> Request:
    """`POST /v1/uploads`."""
    headers = {"Content-Type": "application/octet-stream"}
    return Request("POST", "/v1/uploads", headers=headers, content=content)


def job(job_id: str, *, wait_s: int = 0) -> Request:
    """`GET /v1/jobs/{id}`, held by the server for up to `wait_s` seconds until the job ends."""
    params = {"wait": wait_s} if wait_s else {}
    return Request("GET", _job(job_id), params=params, held_s=wait_s)


def jobs(state: State | None, limit: int, cursor: str | None) -> Request:
    """`GET /v1/jobs`."""
    filters: dict[str, str | int | None] = {"state": state, "limit": limit, "cursor": cursor}
    given = {name: value for name, value in filters.items() if value is not None}
    return Request("GET", "/v1/jobs", params=given)


def result(job_id: str) -> Request:
    """`GET /v1/jobs/{id}/result`."""
    return Request("GET", _job(job_id) + "/result")


def cancel(job_id: str) -> Request:
    """`POST /v1/jobs/{id}/cancel`."""
    return Request("POST", _job(job_id) + "/cancel")


def replay(job_id: str) -> Request:
    """`POST /v1/jobs/{id}/replay`."""
    return Request("POST", _job(job_id) + "/replay")


def delete(job_id: str) -> Request:
    """`DELETE /v1/jobs/{id}`."""
    return Request("DELETE", _job(job_id))


def deliveries(job_id: str) -> Request:
    """`GET /v1/jobs/{id}/deliveries`."""
    return Request("GET", _job(job_id) + "/deliveries")


def exhausted(limit: int, cursor: str | None) -> Request:
    """`GET /v1/deliveries`: those that were given up."""
    params: dict[str, str | int] = {"state": "exhausted", "limit": limit}
    if cursor is not None:
        params["cursor"] = cursor
    return Request("GET", "/v1/deliveries", params=params)


def replay_delivery(delivery_id: str) -> Request:
    """`POST /v1/deliveries/{id}/replay`."""
    return Request("POST", f"/v1/deliveries/{_name(delivery_id)}/replay")


def replay_exhausted(endpoint: str | None, cursor: str | None) -> Request:
    """`POST /v1/deliveries/replay`, once.

    Raises:
        InvalidRequest: that is no endpoint's id.
    """
    try:
        replay = DeliveryReplay(endpoint=endpoint, cursor=cursor)
    except ValidationError as error:
        raise invalid(error) from error
    headers = {"Content-Type": "application/json"}
    content = replay.model_dump_json(exclude_none=True).encode()
    return Request("POST", "/v1/deliveries/replay", headers=headers, content=content)


def models(options: ModelOptions) -> Request:
    """`GET /v1/models`.

    Raises:
        InvalidRequest: a filter does not fit the contract.
    """
    try:
        filters = ModelFilters.model_validate(options)
    except ValidationError as error:
        raise invalid(error) from error
    return Request("GET", "/v1/models", params=filters.model_dump(exclude_none=True))


def model(name: str) -> Request:
    """`GET /v1/models/{name}`."""
    return Request("GET", f"/v1/models/{_name(name)}")


def _job(job_id: str) -> str:
    return f"/v1/jobs/{_name(job_id)}"


def _name(text: str) -> str:
    """One part of a path, wherever it might lead.

    Raises:
        TypeError: it is no text, but perhaps what the text is the name of.
    """
    if not isinstance(text, str):
        raise TypeError(f"give its id or name (such as job.id), not the {type(text).__name__}")
    return quote(text, safe="")


def invalid(error: ValidationError) -> InvalidRequest:
    """What pydantic found, in one sentence a member."""
    found = [
        f"{'.'.join(str(part) for part in each['loc']) or 'value'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    ]
    return InvalidRequest("; ".join(found))
