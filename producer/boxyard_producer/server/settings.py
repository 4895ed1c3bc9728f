"""The server's settings, read from the environment once a process."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from boxyard_ledger.settings import Networks, Settings, Words
from boxyard_schemas.addresses import AddressPolicy


class ServerSettings(Settings):
    """What the front door lets in. Environment names begin with BOXYARD_."""

    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Of any request.")
    max_bodies_bytes: int = Field(
        256 * 2**20, ge=2048, description="Of all requests at once; one tenant gets half."
    )
    body_timeout_s: float = Field(
        120,
        gt=0,
        description="For the whole of a body. One that comes more slowly than 4096 bytes a second "
        "is refused before, after 10 s at the earliest.",
    )
    head_timeout_s: float = Field(15, gt=0, description="For a request's line and headers.")
    max_connections: int = Field(
        4000,
        ge=1,
        description="Open at once. Over it, idle ones are closed, those without a valid API key "
        "first; when all are busy, requests are answered 503, health checks apart. One tenant is "
        "served a quarter; half may be long polls (`?wait=`). Each needs an open file and about "
        "40 kB.",
    )
    max_upload_bytes: int = Field(32 * 2**20, ge=1, description="Of one picture.")
    max_images_per_job: int = Field(64, ge=1, description="Pictures of one job.")
    max_wait_s: float = Field(60, ge=0, description="The longest that `?wait=` holds an answer.")
    max_page: int = Field(200, ge=1, description="Jobs on one page of a listing.")
    score_model: str | None = Field(None, description="For `/score` without `?model=`.")
    score_deadline_s: float = Field(
        60, gt=0, description="`/score` answers 504 after it and cancels the job."
    )
    allowed_networks: Networks = Field(
        (), description="CIDRs that callers may name though private."
    )
    allowed_hosts: Words = Field((), description="Hosts that callers may name though private.")
    api_key: SecretStr | None = Field(None, description="Registers the tenant `default` at start.")
    webhook_secret: SecretStr | None = Field(None, description="Signs that tenant's callbacks.")

    @model_validator(mode="after")
    def _bodies_hold_a_body(self) -> Self:
        if self.max_bodies_bytes < 2 * self.max_body_bytes:
            raise ValueError("max_bodies_bytes must be at least twice max_body_bytes")
        return self

    def address_policy(self) -> AddressPolicy:
        """The addresses that a caller may name."""
        return AddressPolicy(self.allowed_networks, self.allowed_hosts)
