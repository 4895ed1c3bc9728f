"""Settings, read from the environment once a process; here what all processes share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


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
        description="`redis://` or `rediss://` (TLS), with user and password where it asks.",
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
    allowed_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
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

    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Seal webhook secrets at rest; comma-separated, the first one seals."
    )
    secret_overlap_s: float = Field(
        86400, ge=0, description="What is rotated stays good so long beside its successor."
    )

    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Of this process' `/metrics`; 0: any, the log says which."
    )
    metrics_host: str = Field("127.0.0.1", description="The address of `/metrics`.")

    @field_validator("allowed_buckets", "secret_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
