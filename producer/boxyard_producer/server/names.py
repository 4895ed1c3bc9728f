"""The ids in paths: what cannot be one is nobody's, 404 like any other, and never part of a key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path
from pydantic import TypeAdapter, ValidationError

from boxyard_schemas import DeliveryId, EndpointId, JobId, KeyId
from boxyard_schemas.errors import NotFound, UnknownJob


def _named(parameter: str, form: Any, noun: str, error: type[NotFound] = NotFound) -> Any:
    """The path's parameter; `error` when it has not the form of an id."""
    known = TypeAdapter[str](form)

    # A coroutine, because FastAPI would send a plain function through its thread pool.
    async def read(name: str = Path(alias=parameter)) -> str:
        try:
            return known.validate_python(name)
        except ValidationError:
            raise error(f"No {noun} has the id {name[:64]!r}.") from None

    return Depends(read)


NamedJob = Annotated[str, _named("job_id", JobId, "job", UnknownJob)]
NamedDelivery = Annotated[str, _named("delivery_id", DeliveryId, "delivery")]
NamedEndpoint = Annotated[str, _named("endpoint_id", EndpointId, "endpoint")]
NamedKey = Annotated[str, _named("key_id", KeyId, "API key")]
