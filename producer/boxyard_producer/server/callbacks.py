"""What consumers are sent, for those who read `/docs`. Nothing here is served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, status

from boxyard_schemas import Event
from boxyard_schemas.asyncapi import HOW_CALLBACKS_COME, HOW_THEY_ARE_SIGNED

router = APIRouter()


@router.post(
    "jobEnded",
    tags=["callbacks"],
    operation_id="job_ended",
    summary="A job has ended",
    description=f"{HOW_CALLBACKS_COME}\n\n{HOW_THEY_ARE_SIGNED}",
    status_code=status.HTTP_204_NO_CONTENT,
    response_description="Any 2xx: it was taken, and does not come again.",
)
def job_ended(
    event: Event,
    webhook_id: Annotated[str, Header(description="The key for dropping duplicates.")],
    webhook_timestamp: Annotated[str, Header(description="Seconds since 1970.")],
    webhook_signature: Annotated[str, Header(description="`v1,…`, one or several.")],
) -> None:
    """Told to the URL that a job or an endpoint names."""
