"""Where the way out may lead."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from boxyard_ledger.settings import Settings
from boxyard_schemas.addresses import AddressPolicy


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Ports = Annotated[frozenset[int], NoDecode, BeforeValidator(_split)]


class EgressSettings(Settings):
    """Read from `BOXYARD_…`; several values are separated by commas."""

    allowed_networks: Words = Field(
        (), description="CIDRs that may be reached though they are not global."
    )
    allowed_hosts: Words = Field(
        (), description="Names that may be reached whatever their addresses are."
    )
    allowed_ports: Ports = Field(
        frozenset({80, 443}), description="Ports that may be reached; an empty value allows all."
    )

    def policy(self) -> AddressPolicy:
        """The addresses that may be reached."""
        return AddressPolicy(self.allowed_networks, self.allowed_hosts)
