"""What signs a tenant's callbacks to bare URLs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from boxyard_schemas import Tenant
from boxyard_schemas.errors import NotFound, SetupError, Unreadable

from . import keys
from .connection import Connection
from .quarantine import Quarantine
from .records import Record
from .sealing import KeptSecret, Sealing, good, new_secret, rotate
from .shelf import Shelf
from .status import from_ms, readable

_KEPT = "webhook_secrets"
_CLEAR = "webhook_secret"
"""Where older versions kept the secret, in the clear."""
_GIVEN = "bootstrap_secret"
"""What the operator chose last, sealed."""


class SecretsRecord(Record):
    """A tenant's secrets as they are stored, newest first."""

    version: Literal[1] = 1
    secrets: tuple[KeptSecret, ...]


class WebhookSecrets:
    """The default secrets of all tenants, among the facts about each."""

    def __init__(self, connection: Connection, sealing: Sealing, quarantine: Quarantine) -> None:
        self._connection, self._sealing = connection, sealing
        self._quarantine = quarantine
        self._shelf = Shelf(connection, quarantine, SecretsRecord, "webhook secret")

    def create(self, tenant: Tenant) -> str | None:
        """Names a tenant and gives it its first secret; None when it has one."""
        secret, facts = new_secret(), keys.tenant_facts(tenant)
        sealed = self._sealed(tenant, secret)
        *_, kept = self._connection.commands(
            ("HSETNX", facts, _KEPT, sealed),
            ("SADD", keys.TENANTS, tenant),
            ("HGET", facts, _KEPT),  # ours also when it was sent again after a lost answer
            atomic=True,
        )
        return secret if kept == sealed else None

    def bootstrap(self, tenant: Tenant, secret: str) -> None:
        """Takes the operator's secret; the same one again changes nothing.

        Raises:
            SetupError: BOXYARD_SECRET_KEYS is not fit.
            Unreadable: none of its keys opens what signs now, which is left as it is.
        """
        facts, place = keys.tenant_facts(tenant), keys.member(tenant, _GIVEN)
        fields = {
            _GIVEN: self._sealing.seal(secret, place).model_dump_json(),
            _KEPT: self._sealed(tenant, secret),
        }
        if given := self._connection.command("HGET", facts, _GIVEN):
            try:
                with readable(f"The webhook secret of {tenant}", given):
                    if self._sealing.open(KeptSecret.model_validate_json(given), place) == secret:
                        return
            except (SetupError, Unreadable):
                self._quarantine.note(f"{facts} {_GIVEN}", "unreadable")
                # A secret that was rotated since goes on signing.
                if secret in self._open_all(tenant):
                    del fields[_KEPT]
        self._connection.command("HSET", facts, *(word for pair in fields.items() for word in pair))

    def _open_all(self, tenant: Tenant) -> Sequence[str]:
        """The secrets that sign, or did until the last rotation; none if they are damaged.

        Raises:
            Unreadable: a newer version wrote them, or none of BOXYARD_SECRET_KEYS opens them.
        """
        try:
            known = self._shelf.get(keys.tenant_facts(tenant), _KEPT).secrets
            return [self._sealing.open(kept, _place(tenant)) for kept in known]
        except NotFound:
            return []
        except Unreadable as error:
            if error.data["cause"] != "unreadable":
                raise
            return []
        except SetupError as error:
            raise Unreadable(error.detail, cause="unreadable") from error

    def forget(self, tenant: Tenant) -> None:
        """Drops a tenant's secrets, which no key that is left opens; `bootstrap` gives another."""
        self._connection.command("HDEL", keys.tenant_facts(tenant), _KEPT, _CLEAR, _GIVEN)

    def list(self, tenant: Tenant) -> list[str]:
        """What signs now, newest first.

        Raises:
            NotFound: no such tenant.
            SetupError: BOXYARD_SECRET_KEYS does not open them.
            Unreadable: they cannot be read.
        """
        found, clear = self._connection.command("HMGET", keys.tenant_facts(tenant), _KEPT, _CLEAR)
        if found is None and clear is None:
            raise NotFound(f"No tenant is called {tenant!r}.")
        if found is None:
            with readable(f"The webhook secret of {tenant}"):
                clear.encode()
            return [clear]
        now = from_ms(self._connection.now_ms())
        known = self._shelf.get(keys.tenant_facts(tenant), _KEPT).secrets
        return [self._sealing.open(kept, _place(tenant)) for kept in good(known, now)]

    def rotate(self, tenant: Tenant, overlap_s: float) -> str:
        """A new secret; the old one signs too for `overlap_s` more seconds.

        Raises:
            NotFound: no such tenant.
        """
        secret = new_secret()
        fresh = self._sealing.seal(secret, _place(tenant))
        end = from_ms(self._connection.now_ms()) + timedelta(seconds=overlap_s)
        self._shelf.amend(
            keys.tenant_facts(tenant),
            _KEPT,
            lambda known: SecretsRecord(secrets=rotate(known.secrets, fresh, end)),
        )
        return secret

    def seal_clear(self, tenant: Tenant) -> None:
        """Seals what an older version kept in the clear; what cannot be sealed is quarantined."""
        facts = keys.tenant_facts(tenant)
        clear = self._connection.command("HGET", facts, _CLEAR)
        if clear is None:
            return
        try:
            with readable(f"The webhook secret of {tenant}"):
                sealed = self._sealed(tenant, clear)
        except Unreadable as error:
            self._quarantine.note(f"{facts} {_CLEAR}", error.data["cause"])
            return
        self._connection.commands(
            ("HSETNX", facts, _KEPT, sealed), ("HDEL", facts, _CLEAR), atomic=True
        )

    def reseal(self, tenant: Tenant) -> None:
        """Seals by the first key what another one sealed."""
        self.seal_clear(tenant)
        facts = keys.tenant_facts(tenant)
        given_at, kept_at = keys.member(tenant, _GIVEN), _place(tenant)
        self._shelf.amend(
            facts,
            _KEPT,
            lambda known: SecretsRecord(secrets=self._sealing.renew(known.secrets, kept_at)),
        )
        if given := self._connection.command("HGET", facts, _GIVEN):
            with readable(f"The webhook secret of {tenant}", given):
                kept = KeptSecret.model_validate_json(given)
            (renewed,) = self._sealing.renew((kept,), given_at)
            self._connection.command("HSET", facts, _GIVEN, renewed.model_dump_json())

    def _sealed(self, tenant: Tenant, secret: str) -> str:
        kept = self._sealing.seal(secret, _place(tenant))
        return SecretsRecord(secrets=(kept,)).model_dump_json()


def _place(tenant: Tenant) -> str:
    return keys.member(tenant, _KEPT)
