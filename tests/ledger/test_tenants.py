from __future__ import annotations

import pytest
import redis
from pydantic import ValidationError

from boxyard_ledger import Ledger
from boxyard_schemas import Scope
from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound, SetupError


def test_a_registered_key_is_its_tenant_s_and_may_do_everything(ledger: Ledger):
    ledger.tenants.register("acme", api_key="key-a", webhook_secret="whsec_a")
    ledger.tenants.register("other", api_key="key-b", webhook_secret="whsec_b")
    for text, tenant in {"key-a": "acme", "key-b": "other"}.items():
        key = ledger.api_keys.authenticate(text)
        assert key is not None
        assert (key.tenant, key.scopes, key.expires_at) == (tenant, tuple(Scope), None)
    assert ledger.api_keys.authenticate("key-c") is None
    assert ledger.tenants.webhook_secrets("other") == ["whsec_b"]
    assert ledger.tenants.names() == ["acme", "other"]


def test_a_new_bootstrap_key_takes_the_old_one_s_place(ledger: Ledger, raw: redis.Redis):
    for key in ("old", "new", "new"):
        ledger.tenants.register("acme", api_key=key, webhook_secret="whsec_a")
    assert ledger.api_keys.authenticate("old") is None
    assert ledger.api_keys.authenticate("new")
    assert [key.name for key in ledger.api_keys.list("acme")] == ["bootstrap"]
    assert raw.hlen("boxyard:api-keys") == 1


def test_a_revoked_bootstrap_key_stays_revoked_when_the_server_starts_again(ledger: Ledger):
    ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    (bootstrap,) = ledger.api_keys.list("acme")
    ledger.api_keys.revoke("acme", bootstrap.id)
    ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    assert ledger.api_keys.authenticate("key") is None
    ledger.tenants.register("acme", api_key="another", webhook_secret="whsec_a")
    assert ledger.api_keys.authenticate("another")


def test_a_rotated_secret_stays_rotated_when_the_server_starts_again(ledger: Ledger):
    ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    fresh = ledger.tenants.rotate_webhook_secret("acme", 60)
    ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    assert ledger.tenants.webhook_secrets("acme") == [fresh, "whsec_a"]
    ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_b")
    assert ledger.tenants.webhook_secrets("acme") == ["whsec_b"]


def test_two_tenants_cannot_share_a_key(ledger: Ledger):
    ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    with pytest.raises(SetupError, match="another tenant's"):
        ledger.tenants.register("other", api_key="key", webhook_secret="whsec_b")
    key = ledger.api_keys.authenticate("key")
    assert key is not None
    assert key.tenant == "acme"


def test_a_tenant_is_made_once_and_its_secret_is_shown_once(ledger: Ledger):
    secret = ledger.tenants.create("acme")
    assert ledger.tenants.webhook_secrets("acme") == [secret]
    with pytest.raises(Conflict):
        ledger.tenants.create("acme")
    assert ledger.tenants.webhook_secrets("acme") == [secret]


@pytest.mark.parametrize("name", ["", "Acme", "a/b", "a:b", "-a", "a" * 64, "a\n"])
def test_a_name_that_could_reach_into_another_tenant_s_keys_is_none(ledger: Ledger, name: str):
    with pytest.raises(InvalidRequest):
        ledger.tenants.create(name)
    assert ledger.tenants.names() == []


def test_an_unknown_tenant_has_nothing(ledger: Ledger):
    for reach in (
        ledger.tenants.webhook_secrets,
        ledger.tenants.quota,
        ledger.tenants.set_quota,
        lambda tenant: ledger.tenants.rotate_webhook_secret(tenant, 1),
        lambda tenant: ledger.api_keys.create(tenant, name="x", scopes=[Scope.READ]),
    ):
        with pytest.raises(NotFound):
            reach("nobody")


def test_a_quota_stands_where_the_scripts_read_it_until_it_is_taken_back(
    ledger: Ledger, raw: redis.Redis
):
    ledger.tenants.create("acme")
    ledger.tenants.set_quota("acme", jobs_per_minute=60, stored_bytes=10**12)
    bounds = ("jobs_per_minute", "queued_jobs", "stored_bytes")
    assert raw.hmget("boxyard:acme:tenant", bounds) == ["60", None, str(10**12)]
    assert ledger.tenants.quota("acme").model_dump() == {
        "jobs_per_minute": 60,
        "queued_jobs": None,
        "stored_bytes": 10**12,
        "queued_bytes": None,
        "record_bytes": None,
    }
    ledger.tenants.set_quota("acme")
    assert raw.hmget("boxyard:acme:tenant", bounds) == [None, None, None]


def test_a_quota_of_nothing_is_none(ledger: Ledger):
    ledger.tenants.create("acme")
    with pytest.raises(ValidationError):
        ledger.tenants.set_quota("acme", queued_jobs=0)
