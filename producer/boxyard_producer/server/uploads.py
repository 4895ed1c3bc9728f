"""`/v1/uploads`: pictures sent ahead of their jobs."""

from __future__ import annotations

from fastapi import Request

from boxyard_schemas import Upload
from boxyard_schemas.content import identify, image_format
from boxyard_schemas.errors import InvalidRequest, TooLarge, TooManyRequests, TooSlow

from .access import Caller, guarded_router
from .bodies import refuse_encoding
from .parts import TheLane, TheLedger, TheSettings
from .problems import refuse, responses

router = guarded_router(prefix="/v1/uploads", tag="uploads")

_RAW_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one JPEG, PNG, WEBP, BMP or TIFF image, and nothing else. Its "
        "content decides, whatever the media type says.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary", "minLength": 1}}
            for kind in ("application/octet-stream", "image/*")
        },
    }
}


@router.post(
    "",
    status_code=201,
    responses=responses(TooSlow, TooLarge, InvalidRequest, TooManyRequests),
    openapi_extra=_RAW_BODY,
)
async def upload_picture(
    request: Request, tenant: Caller, ledger: TheLedger, settings: TheSettings, lane: TheLane
) -> Upload:
    """Send one image; jobs name it by the id. What does not begin as an image is refused."""
    data = await _read(request, settings.max_upload_bytes)
    return await lane.run(tenant, ledger.uploads.store, tenant, data)


async def _read(request: Request, max_bytes: int) -> bytes:
    refuse_encoding(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(
                f"The picture is larger than {max_bytes} bytes (BOXYARD_MAX_UPLOAD_BYTES)."
            )
    data = bytes(body)
    if not image_format(data):
        raise refuse("body", str(identify(data)))
    return data
