"""Settings, read from the environment once a process; here what all processes share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from boxyard_schemas.addresses import Network


def split_list(value: object) -> object:
    """Variables of the environment hold lists with commas."""
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(split_list)]


def describe_faults(error: ValidationError) -> list[str]:
    """The settings that do not fit, a line each; without their values, which may be secret."""
    return [
        f"BOXYARD_{str(fault['loc'][0]).upper() if fault['loc'] else 'settings'}: "
        + fault["msg"].removeprefix("Value error, ")
        for fault in error.errors(include_input=False)
    ]


class Settings(BaseSettings):
    """Read from `BOXYARD_…`; what is empty is not set, but for a list, which then is empty.

    Compose passes an empty value on where an operator said none.
    """

    model_config = SettingsConfigDict(env_prefix="BOXYARD_", frozen=True, extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _unset_what_is_empty(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[info.field_name or ""]
        if value != "" or NoDecode in field.metadata:
            return value
        return field.get_default(call_default_factory=True, validated_data={})


class LedgerSettings(Settings):
    """Where the memory is and how long it keeps things. Environment names begin with BOXYARD_."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis 7.0 or newer, or Valkey: `redis://` or `rediss://` (TLS), with user and "
        "password where it asks.",
    )
    redis_timeout_s: float = Field(5.0, gt=0, description="For an answer, or a connection.")
    redis_ca_file: FilePath | None = Field(
        None, description="Whom `rediss://` trusts; None: the system's authorities."
    )
    redis_certificate_file: FilePath | None = Field(None, description="What a client shows there.")
    redis_key_file: FilePath | None = Field(None, description="The certificate's key.")
    blob_url: str = Field(
        "file:///var/lib/boxyard/blobs", description="`file:///directory` or `s3://bucket/prefix`."
    )
    s3_endpoint_url: str | None = Field(None, description="None: Amazon's.")
    s3_access_key_id: str | None = Field(
        None, description="None: as boto3 finds credentials, by a role or its own variables."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Goes with the key's id.")
    s3_region: str = Field("us-east-1", description="Of the buckets.")
    allowed_buckets: Words = Field(
        (), description="Callers' buckets, comma-separated; none by default."
    )

    lease_s: float = Field(30.0, gt=0, description="A claim holds so long unless renewed.")
    delivery_lease_s: float = Field(
        30.0, gt=0, description="A receiver is held so long after its deliverer's last sign."
    )
    max_attempts: int = Field(20, ge=1, description="Claims of a job before it is dead.")
    max_strikes: int = Field(3, ge=1, description="Model children that one image may end.")
    chunk_images: int = Field(32, ge=1, description="Images that one bell stands for.")
    max_bells: int = Field(64, ge=1, description="Bells that wait on one queue at most.")
    retention_s: float = Field(7 * 86400, gt=0, description="What ended is kept so long.")
    upload_ttl_s: float = Field(86400, gt=0, description="An upload that no job names is kept so.")

    max_queued_per_model: int = Field(200_000, ge=1, description="Jobs that wait for one model.")
    max_queued_per_tenant: int = Field(100_000, ge=1, description="Jobs of one tenant that wait.")
    max_jobs_per_minute: int = Field(60_000, ge=1, description="Of one tenant, in the long run.")
    max_stored_bytes: int = Field(50 * 2**30, ge=1, description="Of one tenant's uploads.")

    max_queued_bytes: int = Field(
        512 * 2**20,
        ge=1,
        description="In Redis, of one tenant's jobs that have not ended, deliveries included.",
    )
    max_record_bytes: int = Field(
        2 * 2**30,
        ge=1,
        description="In Redis, of all of one tenant's jobs and uploads that are kept.",
    )

    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_list)] = Field(
        (), description="Seal webhook secrets at rest; comma-separated, the first one seals."
    )
    secret_overlap_s: float = Field(
        86400, ge=0, description="What is rotated stays good so long beside its successor."
    )

    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Of this process' `/metrics`; 0: any, the log says which."
    )
    metrics_host: str = Field("127.0.0.1", description="The address of `/metrics`.")

    @field_validator("redis_url")
    @classmethod
    def _leads_to_redis(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("write redis://HOST:PORT/0, or rediss:// for TLS")
        _ = parts.port  # raises a ValueError of its own
        return url
