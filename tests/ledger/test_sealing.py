"""Secrets at rest: sealed, bound to their place, and read from what older versions left."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import redis
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_ledger.sealing import Sealing
from boxyard_schemas import EndpointRequest
from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import utc_now

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
REQUEST = EndpointRequest.model_validate({"url": "https://a.example/"})
Open = Callable[..., Ledger]


@pytest.fixture
def opened(ledger_settings: LedgerSettings):
    """The same stack with other sealing keys."""
    with ExitStack() as stack:

        def open_with(*keys: str) -> Ledger:
            secret_keys = tuple(SecretStr(key) for key in keys)
            settings = ledger_settings.model_copy(update={"secret_keys": secret_keys})
            return stack.enter_context(Ledger.open(settings))

        yield open_with


@given(secret=st.text(), place=st.text(st.characters(codec="utf-8", exclude_characters="\n")))
def test_what_is_sealed_opens_at_its_place_and_shows_nothing(secret: str, place: str):
    sealing = Sealing([SecretStr(OLD)])
    kept = sealing.seal(secret, place)
    assert sealing.open(kept, place) == secret
    assert len(secret) < 8 or secret not in kept.text
    with pytest.raises(SetupError, match="moved"):
        sealing.open(kept, place + "/elsewhere")


@given(position=st.integers(0, 10**6))
def test_a_sealed_secret_that_was_changed_does_not_open(position: int):
    sealing = Sealing([SecretStr(OLD)])
    kept = sealing.seal("whsec_YQ==", "acme/webhook")
    at = position % (len(kept.text) - 4)  # the last letters may be padding
    other = "A" if kept.text[at] != "A" else "B"
    changed = kept.model_copy(update={"text": kept.text[:at] + other + kept.text[at + 1 :]})
    with pytest.raises(SetupError, match="No key"):
        sealing.open(changed, "acme/webhook")


def test_without_a_key_nothing_is_stored_and_the_operator_learns_what_to_set(opened: Open):
    ledger = opened()
    for do in (
        ledger.sealing.check,
        lambda: ledger.tenants.create("acme"),
        lambda: ledger.tenants.register("acme", api_key="key", webhook_secret="whsec_a"),
        lambda: ledger.endpoints.add("acme", REQUEST),
    ):
        with pytest.raises(SetupError, match="BOXYARD_SECRET_KEYS is not set"):
            do()
    assert ledger.tenants.names() == []


@pytest.mark.parametrize("key", ["short", "not base64 !", pytest.param(OLD[:-4], id="cut off")])
def test_what_is_no_key_is_refused_without_showing_it(opened: Open, key: str):
    with pytest.raises(SetupError, match="holds what is no key") as refused:
        opened(OLD, key).sealing.check()
    assert key not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_secret_that_somebody_moved_to_another_endpoint_or_tenant_does_not_open(
    ledger: Ledger, raw: redis.Redis
):
    theirs = ledger.endpoints.add("other", REQUEST)
    ours = ledger.endpoints.add("acme", REQUEST)
    stolen = json.loads(raw.hget("boxyard:other:endpoints", theirs.id) or "")
    record = json.loads(raw.hget("boxyard:acme:endpoints", ours.id) or "")
    record["secrets"] = stolen["secrets"]
    raw.hset("boxyard:acme:endpoints", ours.id, json.dumps(record))
    with pytest.raises(SetupError, match="somebody moved it"):
        ledger.endpoints.signing_secrets("acme", ours.id)
    for tenant in ("acme", "other"):
        ledger.tenants.create(tenant)
    moved = raw.hget("boxyard:other:tenant", "webhook_secrets") or ""
    raw.hset("boxyard:acme:tenant", "webhook_secrets", moved)
    with pytest.raises(SetupError, match="somebody moved it"):
        ledger.tenants.webhook_secrets("acme")


def test_the_first_key_seals_and_every_key_opens(opened: Open):
    endpoint = opened(OLD).endpoints.add("acme", REQUEST)
    both = opened(NEW, OLD)
    later = both.endpoints.add("acme", REQUEST)
    assert both.endpoints.signing_secrets("acme", endpoint.id) == [endpoint.secret]
    assert opened(NEW).endpoints.signing_secrets("acme", later.id) == [later.secret]
    with pytest.raises(SetupError, match="put the one that sealed it behind the first"):
        opened(NEW).endpoints.signing_secrets("acme", endpoint.id)


def test_after_resealing_the_old_key_may_go(opened: Open):
    old = opened(OLD)
    old.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    fresh = old.tenants.rotate_webhook_secret("acme", 600)
    endpoint = old.endpoints.add("acme", REQUEST)
    rotated = old.endpoints.rotate("acme", endpoint.id, 600)
    opened(NEW, OLD).reseal()
    new = opened(NEW)
    assert new.tenants.webhook_secrets("acme") == [fresh, "whsec_a"]
    assert new.endpoints.signing_secrets("acme", endpoint.id) == [rotated.secret, endpoint.secret]
    new.tenants.register("acme", api_key="key", webhook_secret="whsec_a")
    assert new.tenants.webhook_secrets("acme") == [fresh, "whsec_a"]
    with pytest.raises(SetupError):
        opened(OLD).endpoints.signing_secrets("acme", endpoint.id)


def test_resealing_changes_nothing_that_the_first_key_sealed(opened: Open, raw: redis.Redis):
    ledger = opened(NEW, OLD)
    ledger.tenants.create("acme")
    ledger.endpoints.add("acme", REQUEST)
    names = ("boxyard:acme:endpoints", "boxyard:acme:tenant")
    before = [raw.hgetall(name) for name in names]
    ledger.reseal()
    assert [raw.hgetall(name) for name in names] == before


def test_what_an_older_version_kept_in_the_clear_signs_and_is_sealed_at_the_next_start(
    opened: Open, raw: redis.Redis
):
    ledger = opened(OLD)
    endpoint = leave_as_before(raw)
    for _ in range(2):
        assert ledger.tenants.webhook_secrets("default") == ["whsec_dGVuYW50"]
        assert ledger.endpoints.signing_secrets("default", endpoint) == ["whsec_ZW5kcG9pbnQ="]
        assert str(ledger.endpoints.get("default", endpoint).url) == "https://a.example/"
        ledger.seal_clear()
    kept = str([raw.hgetall("boxyard:default:tenant"), raw.hgetall("boxyard:default:endpoints")])
    assert "dGVuYW50" not in kept
    assert "ZW5kcG9pbnQ" not in kept


def test_a_stack_of_an_older_version_goes_on_with_its_key_and_its_secret(
    opened: Open, raw: redis.Redis
):
    ledger = opened(OLD)
    leave_as_before(raw)
    ledger.seal_clear()
    ledger.tenants.register("default", api_key="key", webhook_secret="whsec_dGVuYW50")
    assert ledger.api_keys.authenticate("key")
    assert ledger.tenants.webhook_secrets("default") == ["whsec_dGVuYW50"]
    assert "dGVuYW50" not in str(raw.hgetall("boxyard:default:tenant"))


def leave_as_before(raw: redis.Redis) -> str:
    """What the version before sealing wrote; the id of its endpoint."""
    endpoint = "end_" + "1" * 32
    record = {
        "id": endpoint,
        "url": "https://a.example/",
        "events": ["job.succeeded"],
        "created_at": utc_now().isoformat(),
        "secret": "whsec_ZW5kcG9pbnQ=",
    }
    facts = {"api_key_sha256": "0" * 64, "webhook_secret": "whsec_dGVuYW50"}
    raw.hset("boxyard:default:tenant", mapping=facts)
    raw.hset("boxyard:default:endpoints", endpoint, json.dumps(record))
    raw.sadd("boxyard:tenants", "default")
    return endpoint
