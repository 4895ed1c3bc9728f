"""Where a picture comes from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    EncodedBytes,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
    Tag,
)
from pydantic_core import PydanticCustomError, Url, core_schema

from .ids import UploadId
from .inline import ImageText
from .words import Request

_MAX_URL = 4096
_AS_S3 = "an S3 URI: give it as `s3`"


def _canonical(url: Url) -> str:
    # Kept in its canonical form, which may be longer: é becomes %C3%A9. What could not be read
    # again would be a job that nobody can work on.
    if len(str(url)) > _MAX_URL:
        raise PydanticCustomError(
            "url_too_long",
            "URL should have at most {max_length} characters",
            {"max_length": _MAX_URL},
        )
    return str(url)


class _ParsedUrl:
    """Checks a URL as pydantic's `AnyUrl` does and keeps it as text, which callers write."""

    def __get_pydantic_core_schema__(
        self, source: type[str], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        url = core_schema.url_schema(max_length=_MAX_URL, allowed_schemes=["https", "http"])
        return core_schema.no_info_after_validator_function(
            _canonical, url, serialization=core_schema.simple_ser_schema("str")
        )


HttpUrl = Annotated[str, _ParsedUrl()]
S3Uri = Annotated[
    str,
    StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$", max_length=1100),
]
"""`s3://bucket/key`; a key has at most 1024 bytes."""

Reference = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""The caller's own name for a picture; it comes back with the outcome."""


def _refuse_other_forms(url: Any) -> Any:
    text = url.lstrip()[:5].lower() if isinstance(url, str) else ""
    for scheme, form in (("data:", "a data: URI: give it as `base64`"), ("s3://", _AS_S3)):
        if text == scheme:
            raise PydanticCustomError("image_url", "this is {form}", {"form": form})
    return url


class UrlImage(Request):
    """A picture that the worker fetches."""

    url: Annotated[HttpUrl, BeforeValidator(_refuse_other_forms)]
    reference: Reference | None = None


class Base64Image(Request):
    """A picture inline. It is stored as an upload before the job is accepted."""

    base64: Annotated[bytes, EncodedBytes(encoder=ImageText)] = Field(
        description="JPEG, PNG, WEBP, BMP or TIFF bytes in base64, in either of its "
        "alphabets, padded. It may be broken into lines and may stand in a `data:` URI.",
    )
    reference: Reference | None = None


class S3Image(Request):
    """A picture in a bucket that the operator allows."""

    s3: S3Uri
    reference: Reference | None = None


class UploadImage(Request):
    """A picture sent before by `POST /v1/uploads`."""

    upload: UploadId
    reference: Reference | None = None


_FORMS = ("url", "base64", "s3", "upload")


def _form(source: Any) -> str | None:
    """The one member that says which form a source has."""
    names = source if isinstance(source, dict) else getattr(type(source), "model_fields", ())
    found = [form for form in _FORMS if form in names]
    return found[0] if len(found) == 1 else None


_by_form = Discriminator(
    _form,
    custom_error_type="image_source",
    custom_error_message="an image is given by exactly one of url, base64, s3 or upload",
)

ImageSource = Annotated[
    Annotated[UrlImage, Tag("url")]
    | Annotated[Base64Image, Tag("base64")]
    | Annotated[S3Image, Tag("s3")]
    | Annotated[UploadImage, Tag("upload")],
    _by_form,
]
StoredImage = Annotated[
    Annotated[UrlImage, Tag("url")]
    | Annotated[S3Image, Tag("s3")]
    | Annotated[UploadImage, Tag("upload")],
    _by_form,
]
"""What a job's record may hold: references only, never pixels."""
