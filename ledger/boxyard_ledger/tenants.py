"""Tenants: who may come in, what signs their callbacks, and where those go."""

from __future__ import annotations

import base64
import hashlib
import secrets

from boxyard_schemas import (
    Callback,
    Endpoint,
    EndpointCreated,
    EndpointRequest,
    Tenant,
    new_id,
)
from boxyard_schemas.errors import NotFound
from boxyard_schemas.words import utc_now

from . import keys
from .connection import Connection


class Tenants:
    """Tenants, their API keys (hashed), secrets and callback endpoints."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, tenant: Tenant, *, api_key: str, webhook_secret: str) -> None:
        """Makes a tenant known, or gives it a new key; its former key is no longer good."""
        facts, digest = keys.tenant_facts(tenant), _digest(api_key)
        former = self._connection.command("HGET", facts, "api_key_sha256")
        steps: list[tuple[str, ...]] = [
            ("HSET", facts, "api_key_sha256", digest, "webhook_secret", webhook_secret),
            ("HSET", keys.API_KEYS, digest, tenant),
            ("SADD", keys.TENANTS, tenant),
        ]
        if former and former != digest:
            steps.append(("HDEL", keys.API_KEYS, former))
        self._connection.commands(*steps, atomic=True)

    def authenticate(self, api_key: str) -> Tenant | None:
        """The tenant that an API key belongs to."""
        found: str | None = self._connection.command("HGET", keys.API_KEYS, _digest(api_key))
        return found

    def webhook_secret(self, tenant: Tenant) -> str:
        """What signs callbacks to bare URLs.

        Raises:
            NotFound: no such tenant.
        """
        found: str | None = self._connection.command(
            "HGET", keys.tenant_facts(tenant), "webhook_secret"
        )
        if found is None:
            raise NotFound(f"No tenant is called {tenant!r}.")
        return found

    def add_endpoint(self, tenant: Tenant, request: EndpointRequest) -> EndpointCreated:
        """Sets up a callback endpoint with a secret of its own."""
        endpoint = EndpointCreated(
            id=new_id("end"),
            url=request.url,
            events=request.events,
            created_at=utc_now(),
            secret=new_secret(),
        )
        self._connection.command(
            "HSET", keys.endpoints(tenant), endpoint.id, endpoint.model_dump_json()
        )
        return endpoint

    def endpoint(self, tenant: Tenant, endpoint_id: str) -> EndpointCreated:
        """An endpoint with its secret, for signing.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        found = self._connection.command("HGET", keys.endpoints(tenant), endpoint_id)
        if found is None:
            raise NotFound(f"No endpoint has the id {endpoint_id}.")
        return EndpointCreated.model_validate_json(found)

    def endpoints(self, tenant: Tenant) -> list[Endpoint]:
        """A tenant's endpoints without their secrets, oldest first."""
        found = self._connection.command("HVALS", keys.endpoints(tenant))
        known = (Endpoint.model_validate_json(text) for text in found)
        return sorted(known, key=lambda endpoint: endpoint.id)

    def callbacks(self, tenant: Tenant) -> dict[str, Callback]:
        """A tenant's endpoints as callbacks, by id."""
        return {
            endpoint.id: Callback(url=endpoint.url, events=endpoint.events)
            for endpoint in self.endpoints(tenant)
        }

    def remove_endpoint(self, tenant: Tenant, endpoint_id: str) -> None:
        """Takes an endpoint away.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        if not self._connection.command("HDEL", keys.endpoints(tenant), endpoint_id):
            raise NotFound(f"No endpoint has the id {endpoint_id}.")


def new_secret() -> str:
    """A fresh Standard Webhooks secret of 192 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def _digest(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()
