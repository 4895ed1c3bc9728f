"""Records that were damaged while the server was down do not keep it from starting."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis

from boxyard_ledger import Ledger
from boxyard_producer.server import ServerSettings
from boxyard_producer.server.bootstrap import Bootstrap
from boxyard_schemas import EndpointRequest, Scope
from boxyard_schemas.errors import SetupError, Unreadable

KEY, SECRET = "key-of-the-operator", "whsec_YQ=="
KEYS, FACTS = "boxyard:default:api-keys", "boxyard:default:tenant"
KEY_ID = "key_" + "0" * 32


@pytest.fixture
def raw(redis_url: str):
    with redis.Redis.from_url(redis_url, encoding_errors="surrogateescape") as client:
        yield client


@pytest.fixture
def restart(ledger: Ledger) -> Callable[..., list[str]]:
    """What a server does before it serves; its warnings."""

    def apply(secret: str = SECRET) -> list[str]:
        settings = ServerSettings.model_validate({"api_key": KEY, "webhook_secret": secret})
        ledger.seal_clear()
        return Bootstrap(settings, ledger).apply()

    assert apply() == []
    return apply


def alter(raw: redis.Redis, field: str) -> None:
    """Changes four characters of a sealed secret."""
    text = raw.hget(FACTS, field)
    at = text.index(b"gAAAA") + 40
    raw.hset(FACTS, field, text[:at] + b"AAAA" + text[at + 4 :])


def places(ledger: Ledger) -> set[str]:
    return {entry.place for entry in ledger.quarantine.all()}


@pytest.mark.parametrize("junk", [b"\xff", b"\xed\xa0\x80", b"a\xc3"])
def test_a_clear_secret_of_another_tenant_that_is_no_text_is_quarantined(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis, junk: bytes
):
    raw.sadd("boxyard:tenants", "a", "z")
    raw.hset("boxyard:a:tenant", "webhook_secret", junk)
    raw.hset("boxyard:z:tenant", "webhook_secret", "whsec_eg==")
    assert restart() == []
    assert ledger.tenants.webhook_secrets("z") == ["whsec_eg=="]
    assert raw.hget("boxyard:z:tenant", "webhook_secret") is None
    with pytest.raises(Unreadable):
        ledger.tenants.webhook_secrets("a")
    assert places(ledger) == {"boxyard:a:tenant webhook_secret"}
    raw.hdel("boxyard:a:tenant", "webhook_secret")
    assert ledger.quarantine_review.all() == []


def test_a_clear_endpoint_under_another_name_stops_no_start(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    raw.sadd("boxyard:tenants", "a")
    endpoint = ledger.endpoints.add("a", EndpointRequest.model_validate({"url": "https://a.io/"}))
    record = json.loads(raw.hget("boxyard:a:endpoints", endpoint.id)) | {"secret": "whsec_eg=="}
    raw.delete("boxyard:a:endpoints")
    raw.hset("boxyard:a:endpoints", "elsewhere", json.dumps(record))
    assert restart() == []


@pytest.mark.parametrize(
    "junk", ["junk", "", "[]", "{}", '{"version":1,"sha256":"\\u00e9"}', b"\xff"]
)
def test_the_operators_key_whose_record_was_damaged_is_registered_again(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis, junk: str
):
    raw.hset(KEYS, KEY_ID, junk)
    assert restart() == []
    assert ledger.api_keys.authenticate(KEY)


def test_the_operators_key_whose_digest_was_damaged_is_registered_again(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    record = json.loads(raw.hget(KEYS, KEY_ID)) | {"sha256": "0" * 64}
    raw.hset(KEYS, KEY_ID, json.dumps(record))
    assert restart() == []
    assert ledger.api_keys.authenticate(KEY)


def test_the_operators_key_whose_index_was_damaged_is_registered_again(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    (name,) = raw.hkeys("boxyard:api-keys")
    raw.hset("boxyard:api-keys", name, "acme/key_" + "1" * 32)
    assert restart() == []
    assert ledger.api_keys.authenticate(KEY)


def test_the_operators_key_that_a_newer_version_wrote_is_kept_and_warned_of(
    restart: Callable[..., list[str]], raw: redis.Redis
):
    raw.hset(KEYS, KEY_ID, '{"version":2}')
    (warning,) = restart()
    assert "version-2" in warning
    assert raw.hget(KEYS, KEY_ID) == b'{"version":2}'


def test_a_key_that_was_revoked_stays_revoked(restart: Callable[..., list[str]], ledger: Ledger):
    ledger.api_keys.revoke("default", KEY_ID)
    (warning,) = restart()
    assert "revoked" in warning
    assert ledger.api_keys.authenticate(KEY) is None


def test_a_lost_hash_of_keys_is_taken_for_revoked_ones(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    raw.delete(KEYS)
    raw.set(KEYS, "x")
    (warning,) = restart()
    assert "revoked" in warning
    assert ledger.api_keys.create("default", name="next", scopes=[Scope.READ])


@pytest.mark.parametrize("rotated", [False, True])
def test_a_damaged_copy_of_the_operators_secret_is_written_again(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis, rotated: bool
):
    fresh = ledger.tenants.rotate_webhook_secret("default", 0) if rotated else SECRET
    alter(raw, "bootstrap_secret")
    assert restart() == []
    assert places(ledger) == {f"{FACTS} bootstrap_secret"}
    assert ledger.tenants.webhook_secrets("default") == [fresh]
    assert restart("whsec_Yg==") == []
    assert ledger.tenants.webhook_secrets("default") == ["whsec_Yg=="]


def test_secrets_that_no_key_opens_are_left_and_warned_of(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    for field in ("bootstrap_secret", "webhook_secrets"):
        alter(raw, field)
    before = raw.hgetall(FACTS)
    (warning,) = restart()
    assert "No key of BOXYARD_SECRET_KEYS opens" in warning
    assert raw.hgetall(FACTS) == before
    assert ledger.api_keys.authenticate(KEY)


def test_secrets_that_are_no_records_are_replaced(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    raw.hset(FACTS, mapping={"bootstrap_secret": b"\xff", "webhook_secrets": "junk"})
    assert restart() == []
    assert ledger.tenants.webhook_secrets("default") == [SECRET]


def test_one_secret_that_no_key_opens_keeps_no_other_from_being_resealed(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis
):
    request = EndpointRequest.model_validate({"url": "https://a.example/"})
    ledger.tenants.create("z")
    ids = sorted(ledger.endpoints.add("default", request).id for _ in range(2))
    record = json.loads(raw.hget("boxyard:default:endpoints", ids[0]))
    record["secrets"][0]["text"] = "x"
    raw.hset("boxyard:default:endpoints", ids[0], json.dumps(record))
    alter(raw, "webhook_secrets")
    with pytest.raises(SetupError) as refused:
        ledger.reseal()
    assert ids[0] in refused.value.detail
    assert "default/webhook_secrets" in refused.value.detail
    assert ids[1] not in refused.value.detail


@pytest.mark.parametrize(
    "damage",
    [
        "SET boxyard:default:tenant x",
        "SET boxyard:other:tenant x",
        "SET boxyard:other:endpoints x",
        "SET boxyard:default:endpoints x",
        "RPUSH boxyard:default:bootstrap x",
        "SET boxyard:default:bootstrap junk",
        "SET boxyard:api-keys x",
        "RPUSH boxyard:ledger x",
        "SET boxyard:ledger \udcff",
        "SET boxyard:tenants x",
        "SADD boxyard:tenants \udcff",
        "HSET boxyard:other:tenant webhook_secret x webhook_secrets junk",
        "HSET boxyard:other:endpoints end_1 junk",
    ],
)
def test_no_damaged_key_keeps_the_server_from_starting(
    restart: Callable[..., list[str]], ledger: Ledger, raw: redis.Redis, damage: str
):
    raw.sadd("boxyard:tenants", "other")
    words = damage.split()
    if words[0] in {"SET", "RPUSH"}:
        raw.delete(words[1])
    raw.execute_command(*(word.encode(errors="surrogateescape") for word in words))
    restart()
    assert restart() == []
    assert ledger.read_identity()
    assert ledger.api_keys.authenticate(KEY)
    assert "default" in ledger.tenants.names()
    assert ledger.tenants.webhook_secrets("default") == [SECRET]
