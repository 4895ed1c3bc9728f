"""Where the way out may lead."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

from boxyard_schemas.addresses import AddressPolicy


class EgressSettings(BaseSettings):
    """Read from `BOXYARD_…`; lists are JSON, such as `["10.1.0.0/16"]`.

    Attributes:
        allowed_networks: CIDRs that may be reached though they are not global.
        allowed_hosts: names that may be reached though their addresses are not global.
        allowed_ports: ports that may be reached; empty allows every port.
    """

    model_config = SettingsConfigDict(env_prefix="BOXYARD_", frozen=True, extra="ignore")

    allowed_networks: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    allowed_ports: frozenset[int] = frozenset({80, 443})

    def policy(self) -> AddressPolicy:
        """The addresses that may be reached."""
        return AddressPolicy(
            allowed_networks=self.allowed_networks, allowed_hosts=self.allowed_hosts
        )
