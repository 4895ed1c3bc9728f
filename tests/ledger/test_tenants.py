from __future__ import annotations

import pytest
import redis
from standardwebhooks import Webhook

from boxyard_ledger import Ledger
from boxyard_schemas import EndpointRequest, EventType
from boxyard_schemas.errors import NotFound
from boxyard_schemas.words import utc_now


def test_a_registered_key_is_its_tenant_s(ledger: Ledger):
    ledger.tenants.register("acme", api_key="key-a", webhook_secret="whsec_a")
    ledger.tenants.register("other", api_key="key-b", webhook_secret="whsec_b")
    assert ledger.tenants.authenticate("key-a") == "acme"
    assert ledger.tenants.authenticate("key-b") == "other"
    assert ledger.tenants.authenticate("key-c") is None
    assert ledger.tenants.webhook_secret("other") == "whsec_b"


def test_a_new_key_takes_the_old_one_s_place(ledger: Ledger):
    for key in ("old", "new", "new"):
        ledger.tenants.register("acme", api_key=key, webhook_secret="whsec_a")
    assert ledger.tenants.authenticate("old") is None
    assert ledger.tenants.authenticate("new") == "acme"


def test_keys_are_kept_hashed(ledger: Ledger, raw: redis.Redis):
    ledger.tenants.register("acme", api_key="very-secret-key", webhook_secret="whsec_a")
    kept = [*raw.hgetall("boxyard:api-keys").items(), *raw.hgetall("boxyard:acme:tenant").items()]
    assert "very-secret-key" not in str(kept)


def test_an_unknown_tenant_has_no_secret(ledger: Ledger):
    with pytest.raises(NotFound):
        ledger.tenants.webhook_secret("nobody")


def test_an_endpoint_shows_its_secret_once_and_can_be_removed(ledger: Ledger):
    request = EndpointRequest(url="https://receiver.example/hook", events=(EventType.DEAD,))
    created = ledger.tenants.add_endpoint("acme", request)
    (listed,) = ledger.tenants.endpoints("acme")
    assert not hasattr(listed, "secret")
    assert (listed.id, listed.url, listed.events) == (created.id, request.url, request.events)
    assert ledger.tenants.endpoint("acme", created.id) == created
    ledger.tenants.remove_endpoint("acme", created.id)
    assert ledger.tenants.endpoints("acme") == []
    with pytest.raises(NotFound):
        ledger.tenants.remove_endpoint("acme", created.id)


def test_another_tenant_s_endpoint_cannot_be_seen_or_removed(ledger: Ledger):
    created = ledger.tenants.add_endpoint("acme", EndpointRequest(url="https://a.example/"))
    for reach in (ledger.tenants.endpoint, ledger.tenants.remove_endpoint):
        with pytest.raises(NotFound):
            reach("other", created.id)


def test_an_endpoint_s_secret_is_one_that_the_official_library_takes(ledger: Ledger):
    created = ledger.tenants.add_endpoint("acme", EndpointRequest(url="https://a.example/"))
    signature = Webhook(created.secret).sign("msg_1", utc_now(), "{}")
    assert signature.startswith("v1,")
