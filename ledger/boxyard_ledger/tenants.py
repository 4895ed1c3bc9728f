"""Tenants: who may come in, how much they may ask for, and what signs their callbacks."""

from __future__ import annotations

from pydantic import Field, ValidationError

from boxyard_schemas import Tenant
from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound

from . import keys
from .api_keys import ApiKeys
from .connection import Connection
from .identity import establish_identity
from .quarantine import Quarantine
from .records import Record
from .sealing import Sealing
from .webhook_secrets import WebhookSecrets


class Quota(Record):
    """A tenant's own bounds; None: the one that the settings give to all."""

    jobs_per_minute: int | None = Field(None, ge=1)
    queued_jobs: int | None = Field(None, ge=1)
    stored_bytes: int | None = Field(None, ge=1)
    queued_bytes: int | None = Field(None, ge=1)
    record_bytes: int | None = Field(None, ge=1)


class Tenants:
    """All tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(
        self, connection: Connection, sealing: Sealing, api_keys: ApiKeys, quarantine: Quarantine
    ) -> None:
        self._connection, self._api_keys, self._quarantine = connection, api_keys, quarantine
        self._secrets = WebhookSecrets(connection, sealing, quarantine)

    def create(self, tenant: Tenant) -> str:
        """Makes a tenant known; the secret of its callbacks, which is shown this once.

        Raises:
            Conflict: there is a tenant of this name.
            InvalidRequest: it cannot be a name.
            SetupError: BOXYARD_SECRET_KEYS is not fit.
        """
        _check_name(tenant)
        if tenant in self.names() or (secret := self._secrets.create(tenant)) is None:
            raise Conflict(f"There is a tenant called {tenant!r} already.")
        establish_identity(self._connection)
        return secret

    def register(self, tenant: Tenant, *, api_key: str, webhook_secret: str) -> None:
        """Makes a tenant known with a key and a secret of the operator's choice.

        Another key or secret takes the former one's place; the same again changes nothing, so that
        what was revoked or rotated since stays so.

        Raises:
            SetupError: BOXYARD_SECRET_KEYS is not fit, or the key is another tenant's.
            Unreadable: the former secret cannot be read and must not be replaced; the key is good.
        """
        establish_identity(self._connection)
        self._api_keys.bootstrap(tenant, api_key)
        self._secrets.bootstrap(tenant, webhook_secret)
        self._connection.command("SADD", keys.TENANTS, tenant)

    def names(self) -> list[Tenant]:
        """All tenants, by name."""
        names = self._connection.command("SMEMBERS", keys.TENANTS)
        return self._quarantine.keep_names(keys.TENANTS, names, keys.TENANT_NAME)

    def quota(self, tenant: Tenant) -> Quota:
        """A tenant's own bounds; one that cannot be read counts as none.

        Raises:
            NotFound: no such tenant.
        """
        self._check_known(tenant)
        names = list(Quota.model_fields)
        facts = keys.tenant_facts(tenant)
        found = dict(zip(names, self._connection.command("HMGET", facts, *names), strict=True))
        try:
            return Quota.model_validate(found)
        except ValidationError as error:
            odd = {str(fault["loc"][0]) for fault in error.errors()}
            for name in sorted(odd):
                self._quarantine.note(f"{facts} {name}", "unreadable")
            return Quota.model_validate({**found, **dict.fromkeys(odd)})

    def set_quota(
        self,
        tenant: Tenant,
        *,
        jobs_per_minute: int | None = None,
        queued_jobs: int | None = None,
        stored_bytes: int | None = None,
        queued_bytes: int | None = None,
        record_bytes: int | None = None,
    ) -> None:
        """Gives a tenant bounds of its own in the place of those that it had.

        Args:
            tenant: whose.
            jobs_per_minute: in the long run; None: what the settings give to all, here and below.
            queued_jobs: that wait.
            stored_bytes: of its uploads.
            queued_bytes: of the records of its jobs that have not ended.
            record_bytes: of the records of all its jobs and uploads.

        Raises:
            NotFound: no such tenant.
        """
        self._check_known(tenant)
        quota = Quota(
            jobs_per_minute=jobs_per_minute,
            queued_jobs=queued_jobs,
            stored_bytes=stored_bytes,
            queued_bytes=queued_bytes,
            record_bytes=record_bytes,
        )
        facts = keys.tenant_facts(tenant)
        steps = [
            ("HDEL", facts, name) if bound is None else ("HSET", facts, name, bound)
            for name, bound in quota.model_dump().items()
        ]
        self._connection.commands(*steps, atomic=True)

    def webhook_secrets(self, tenant: Tenant) -> list[str]:
        """What signs callbacks to bare URLs: one, or during an overlap two, newest first.

        Raises:
            NotFound: no such tenant.
            SetupError: BOXYARD_SECRET_KEYS does not open them.
        """
        return self._secrets.list(tenant)

    def rotate_webhook_secret(self, tenant: Tenant, overlap_s: float) -> str:
        """A new secret, shown this once; the old one signs too for `overlap_s` more seconds.

        Raises:
            NotFound: no such tenant.
        """
        self._check_known(tenant)
        return self._secrets.rotate(tenant, overlap_s)

    def forget_webhook_secret(self, tenant: Tenant) -> None:
        """Drops a tenant's secrets, whose sealing key was lost; `register` gives it another."""
        self._secrets.forget(tenant)

    def seal_clear(self, tenant: Tenant) -> None:
        """Seals what an older version kept in the clear."""
        self._secrets.seal_clear(tenant)

    def reseal(self, tenant: Tenant) -> None:
        """Seals a tenant's secrets by the first of BOXYARD_SECRET_KEYS."""
        self._secrets.reseal(tenant)

    def _check_known(self, tenant: Tenant) -> None:
        if not self._connection.command("SISMEMBER", keys.TENANTS, tenant):
            raise NotFound(f"No tenant is called {tenant!r}.")


def _check_name(tenant: str) -> None:
    if not keys.TENANT_NAME.fullmatch(tenant):
        raise InvalidRequest(
            f"{tenant[:64]!r} cannot be a tenant: 1 to 63 of a-z, 0-9 and -, not - first."
        )
