"""API keys: kept as digests, found by a digest's beginning, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from boxyard_schemas import ApiKey, KeyId, Scope, Tenant, new_id
from boxyard_schemas.errors import Conflict, NotFound, SetupError, Unreadable
from boxyard_schemas.words import Timestamp, changed

from . import keys
from .connection import Connection
from .quarantine import Quarantine
from .records import Record
from .shelf import Shelf
from .status import from_ms

_BOOTSTRAP = "bootstrap"
_BOOTSTRAP_ID = "key_" + "0" * 32
"""Each tenant has at most one."""
_REMEMBERED = timedelta(days=7)
"""An expired key is listed so long, so that its owner sees why it is refused."""


class KeyRecord(Record):
    """An API key as it is stored."""

    version: Literal[1] = 1
    id: KeyId
    tenant: Tenant
    name: str
    scopes: tuple[Scope, ...]
    created_at: Timestamp
    expires_at: Timestamp | None = None
    expires_in_s: float | None = Field(None, description="As asked for; successors get the same.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    def view(self) -> ApiKey:
        """The key as its owner sees it."""
        return ApiKey.model_validate(self.model_dump())


class ApiKeys:
    """The keys of all tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(self, connection: Connection, quarantine: Quarantine) -> None:
        self._connection = connection
        self._shelf = Shelf(connection, quarantine, KeyRecord, "API key")

    def create(
        self,
        tenant: Tenant,
        *,
        name: str,
        scopes: Iterable[Scope],
        expires_in_s: float | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown this once and kept by nobody.

        Raises:
            NotFound: no such tenant.
            Conflict: the tenant has too many.
        """
        if not self._connection.command("SISMEMBER", keys.TENANTS, tenant):
            raise NotFound(f"No tenant is called {tenant!r}.")
        now, text = self._now(), _new_text()
        ends = now + timedelta(seconds=expires_in_s) if expires_in_s is not None else None
        record = KeyRecord(
            id=new_id("key"),
            tenant=tenant,
            name=name,
            scopes=tuple(scope for scope in Scope if scope in set(scopes)),
            created_at=now,
            expires_at=ends,
            expires_in_s=expires_in_s,
            sha256=_digest(text),
        )
        self._forget_expired(tenant, now - _REMEMBERED)
        self._add(record)
        return record.view(), text

    def authenticate(self, text: str) -> ApiKey | None:
        """The key of this text; None when it is not known, was revoked or has expired."""
        known = self._find(text)
        return None if known is None or self._has_expired(known) else known.view()

    def find(self, text: str) -> ApiKey | None:
        """The key of this text, even if it has expired."""
        known = self._find(text)
        return known.view() if known else None

    def _find(self, text: str) -> KeyRecord | None:
        digest = _digest(text)
        entry = self._connection.command("HGET", keys.API_KEYS, _beginning(digest))
        if entry is None:
            return None
        tenant, key_id = keys.split(entry)
        try:
            known = self._shelf.get(keys.api_keys(tenant), key_id)
        except NotFound:
            return None  # revoked this moment
        return known if hmac.compare_digest(known.sha256, digest) else None

    def list(self, tenant: Tenant) -> list[ApiKey]:
        """A tenant's keys, oldest first."""
        found = self._shelf.list(keys.api_keys(tenant))
        return sorted((record.view() for record in found), key=lambda key: key.created_at)

    def rotate(self, tenant: Tenant, key_id: str, overlap_s: float) -> tuple[ApiKey, str]:
        """A key like this one, with its text; the old one is good for `overlap_s` more seconds.

        Raises:
            NotFound: this tenant has no such key.
            Conflict: it has expired, or the tenant has too many.
        """
        shelf, now = keys.api_keys(tenant), self._now()
        old = self._shelf.get(shelf, key_id)
        if self._has_expired(old):
            raise Conflict(f"API key {key_id} has expired: make another one.")
        # First the new one: the caller is never left with none.
        made = self.create(tenant, name=old.name, scopes=old.scopes, expires_in_s=old.expires_in_s)
        end = now + timedelta(seconds=overlap_s)

        def ended(record: KeyRecord) -> KeyRecord:
            return changed(record, expires_at=min(record.expires_at or end, end))

        self._shelf.amend(shelf, key_id, ended)
        return made

    def revoke(self, tenant: Tenant, key_id: str) -> None:
        """Makes a key no good from now on.

        Raises:
            NotFound: this tenant has no such key.
        """
        shelf, digest = keys.api_keys(tenant), None
        with suppress(Unreadable):  # one that cannot be read lets no caller in, and goes too
            digest = self._shelf.get(shelf, key_id).sha256
        self._shelf.remove(shelf, key_id)
        if digest:
            self._connection.command("HDEL", keys.API_KEYS, _beginning(digest))

    def bootstrap(self, tenant: Tenant, text: str) -> None:
        """Lets an operator's key in, with all scopes, in the place of the one before.

        The same key again changes nothing: what was revoked since stays revoked. Only a record
        that was damaged is written anew.

        Raises:
            SetupError: the key is another tenant's.
        """
        # Not with the tenant's facts: deliver reads those, and has no business with keys.
        bootstrap, digest = keys.bootstrap(tenant), _digest(text)
        former = self._connection.command("GET", bootstrap)
        if former == digest and not self._is_damaged(tenant, digest):
            return
        with suppress(Unreadable):
            if (known := self.find(text)) and known.tenant != tenant:
                raise SetupError(f"The API key of {tenant} is another tenant's: choose another.")
        record = KeyRecord(
            id=_BOOTSTRAP_ID,
            tenant=tenant,
            name=_BOOTSTRAP,
            scopes=tuple(Scope),
            created_at=self._now(),
            sha256=digest,
        )
        self._connection.commands(
            ("HDEL", keys.API_KEYS, _beginning(former or digest)),
            ("HSET", keys.api_keys(tenant), record.id, record.model_dump_json()),
            _index(record),
            ("SET", bootstrap, digest),
            atomic=True,
        )

    def _is_damaged(self, tenant: Tenant, digest: str) -> bool:
        """Whether the operator's key is there and its record cannot be used; its index is set."""
        try:
            known = self._shelf.get(keys.api_keys(tenant), _BOOTSTRAP_ID)
        except NotFound:
            return False  # it was revoked
        except Unreadable as error:
            return bool(error.data["cause"] == "unreadable")  # else a newer version wrote it
        if (known.tenant, known.id, known.sha256) != (tenant, _BOOTSTRAP_ID, digest):
            return True
        self._connection.command(*_index(known))
        return False

    def _add(self, record: KeyRecord) -> None:
        self._shelf.add(keys.api_keys(record.tenant), record.id, record)
        self._connection.command(*_index(record))

    def _forget_expired(self, tenant: Tenant, until: datetime) -> None:
        for record in self._shelf.list(keys.api_keys(tenant)):
            if record.expires_at is not None and record.expires_at <= until:
                with suppress(NotFound):  # who makes another key now forgets it too
                    self.revoke(tenant, record.id)

    def _has_expired(self, record: KeyRecord) -> bool:
        return record.expires_at is not None and record.expires_at <= self._now()

    def _now(self) -> datetime:
        return from_ms(self._connection.now_ms())


def _index(record: KeyRecord) -> tuple[str, str, str, str]:
    member = keys.member(record.tenant, record.id)
    return "HSET", keys.API_KEYS, _beginning(record.sha256), member


def _new_text() -> str:
    return f"boxyard_{secrets.token_urlsafe(32)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _beginning(digest: str) -> str:
    return digest[:16]
