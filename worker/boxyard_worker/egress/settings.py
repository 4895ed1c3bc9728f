"""Where the way out may lead."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from boxyard_ledger.settings import Networks, Settings, Words, split_list
from boxyard_schemas.addresses import AddressPolicy

Ports = Annotated[frozenset[int], NoDecode, BeforeValidator(split_list)]


class EgressSettings(Settings):
    """Read from `BOXYARD_…`; several values are separated by commas."""

    allowed_networks: Networks = Field(
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
