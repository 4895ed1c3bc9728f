"""Callback endpoints: where a tenant's events go, and the secrets that sign them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import model_validator

from boxyard_schemas import (
    Callback,
    Endpoint,
    EndpointChange,
    EndpointCreated,
    EndpointId,
    EndpointRequest,
    EventType,
    Tenant,
    new_id,
)
from boxyard_schemas.errors import NotFound, SetupError
from boxyard_schemas.images import HttpUrl
from boxyard_schemas.words import Timestamp, changed

from . import keys
from .connection import Connection
from .quarantine import Quarantine
from .records import Record
from .sealing import KeptSecret, Sealing, good, new_secret, rotate
from .shelf import Shelf
from .status import from_ms

_BY_OWNER = "disabled by its owner"


class EndpointRecord(Record):
    """An endpoint as it is stored, its secrets newest first."""

    version: Literal[1] = 1
    id: EndpointId
    url: HttpUrl
    events: tuple[EventType, ...]
    created_at: Timestamp
    disabled_at: Timestamp | None = None
    disabled_reason: str | None = None
    secrets: tuple[KeptSecret, ...]

    @model_validator(mode="before")
    @classmethod
    def _read_clear(cls, data: Any) -> Any:
        """Older versions kept one secret, in the clear."""
        if isinstance(data, dict) and "secret" in data:
            return {**data, "secrets": (KeptSecret(text=data["secret"], sealed=False),)}
        return data

    def view(self) -> Endpoint:
        """The endpoint without its secrets."""
        return Endpoint.model_validate(self.model_dump())

    def view_created(self, secret: str) -> EndpointCreated:
        """The endpoint with its newest secret."""
        return EndpointCreated.model_validate({**self.model_dump(), "secret": secret})


class Endpoints:
    """The endpoints of all tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(self, connection: Connection, sealing: Sealing, quarantine: Quarantine) -> None:
        self._connection, self._sealing = connection, sealing
        self._shelf = Shelf(connection, quarantine, EndpointRecord, "endpoint")

    def add(self, tenant: Tenant, request: EndpointRequest) -> EndpointCreated:
        """Sets an endpoint up with a secret of its own, which is shown this once.

        Raises:
            Conflict: the tenant has too many.
        """
        endpoint_id, secret = new_id("end"), new_secret()
        record = EndpointRecord(
            id=endpoint_id,
            url=request.url,
            events=request.events,
            created_at=self._now(),
            secrets=(self._sealing.seal(secret, keys.member(tenant, endpoint_id)),),
        )
        self._shelf.add(keys.endpoints(tenant), record.id, record)
        return record.view_created(secret)

    def get(self, tenant: Tenant, endpoint_id: str) -> Endpoint:
        """An endpoint.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        return self._shelf.get(keys.endpoints(tenant), endpoint_id).view()

    def signing_secrets(self, tenant: Tenant, endpoint_id: str) -> list[str]:
        """What signs an endpoint's callbacks: one, or during an overlap two, newest first.

        Raises:
            NotFound: this tenant has no such endpoint.
            SetupError: BOXYARD_SECRET_KEYS does not open them.
        """
        record = self._shelf.get(keys.endpoints(tenant), endpoint_id)
        place = keys.member(tenant, endpoint_id)
        return [self._sealing.open(kept, place) for kept in good(record.secrets, self._now())]

    def list(self, tenant: Tenant) -> list[Endpoint]:
        """A tenant's endpoints, oldest first."""
        found = self._shelf.list(keys.endpoints(tenant))
        return sorted((record.view() for record in found), key=lambda endpoint: endpoint.id)

    def callbacks(self, tenant: Tenant) -> dict[str, Callback]:
        """A tenant's endpoints as callbacks, by id.

        The disabled ones too: what they miss is given up unsent, and can be replayed when they
        are enabled again.
        """
        return {
            record.id: Callback(url=record.url, events=record.events)
            for record in self._shelf.list(keys.endpoints(tenant))
        }

    def change(self, tenant: Tenant, endpoint_id: str, change: EndpointChange) -> Endpoint:
        """Moves, filters, disables or enables an endpoint.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        now = self._now()

        def apply(record: EndpointRecord) -> EndpointRecord:
            wanted = {"url": change.url, "events": change.events}
            record = changed(record, **{k: v for k, v in wanted.items() if v is not None})
            if change.disabled is None:
                return record
            return _disable(record, now, _BY_OWNER) if change.disabled else _enable(record)

        return self._shelf.amend(keys.endpoints(tenant), endpoint_id, apply).view()

    def disable(self, tenant: Tenant, endpoint_id: str, reason: str) -> None:
        """Has an endpoint get no more requests; one that is disabled keeps its first reason.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        now = self._now()
        self._shelf.amend(
            keys.endpoints(tenant), endpoint_id, lambda record: _disable(record, now, reason)
        )

    def remove(self, tenant: Tenant, endpoint_id: str) -> None:
        """Takes an endpoint away.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        self._shelf.remove(keys.endpoints(tenant), endpoint_id)

    def rotate(self, tenant: Tenant, endpoint_id: str, overlap_s: float) -> EndpointCreated:
        """Gives an endpoint a new secret; the old one signs too for `overlap_s` more seconds.

        Raises:
            NotFound: this tenant has no such endpoint.
        """
        secret, end = new_secret(), self._now() + timedelta(seconds=overlap_s)
        fresh = self._sealing.seal(secret, keys.member(tenant, endpoint_id))

        def rotated(record: EndpointRecord) -> EndpointRecord:
            return changed(record, secrets=rotate(record.secrets, fresh, end))

        record = self._shelf.amend(keys.endpoints(tenant), endpoint_id, rotated)
        return record.view_created(secret)

    def reseal(self, tenant: Tenant, *, only_clear: bool = False) -> None:
        """Seals a tenant's secrets by the first key; or those alone that are in the clear.

        Raises:
            SetupError: no key opens one of them; all others are sealed by then.
        """

        def resealed(record: EndpointRecord) -> EndpointRecord:
            place = keys.member(tenant, record.id)
            renewed = self._sealing.renew(record.secrets, place, only_clear=only_clear)
            return changed(record, secrets=renewed)

        shelf = keys.endpoints(tenant)
        failed: list[str] = []
        for record in self._shelf.list(shelf):
            try:
                if resealed(record) != record:
                    self._shelf.amend(shelf, record.id, resealed)
            except NotFound:
                continue  # its owner removed it meanwhile
            except SetupError as error:
                failed.append(error.detail)
        if failed:
            raise SetupError("\n".join(failed))

    def _now(self) -> datetime:
        return from_ms(self._connection.now_ms())


def _disable(record: EndpointRecord, now: datetime, reason: str) -> EndpointRecord:
    if record.disabled_at is not None:
        return record
    return changed(record, disabled_at=now, disabled_reason=reason)


def _enable(record: EndpointRecord) -> EndpointRecord:
    return changed(record, disabled_at=None, disabled_reason=None)
