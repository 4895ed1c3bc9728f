"""Keys and secrets are shown once and stand nowhere: not in answers, logs, Redis or its file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from cryptography.fernet import Fernet

from boxyard_ledger import EmbeddedRedis, LedgerSettings
from server_process import ServerProcess, serving_process

from .test_jobs import submit

KEY, SECRET = "operator-key-0123456789", "whsec_b3BlcmF0b3Itc2VjcmV0LTAxMjM0NTY3ODk="
SEALING = Fernet.generate_key().decode()


@pytest.fixture
def server(own_redis: EmbeddedRedis, tmp_path: Path) -> Iterator[ServerProcess]:
    settings = LedgerSettings(redis_url=own_redis.url, blob_url=(tmp_path / "blobs").as_uri())
    with serving_process(
        tmp_path, settings, api_key=KEY, webhook_secret=SECRET, secret_keys=SEALING
    ) as process:
        yield process


def make_everything(api: httpx.Client) -> tuple[list[str], list[str]]:
    """Keys and secrets made, rotated, used and misused; their texts, and paths to read."""
    key = api.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()
    endpoint = api.post("/v1/endpoints", json={"url": "https://example.com/hook"}).json()
    key_again = api.post(f"/v1/keys/{key['id']}/rotate").json()
    endpoint_again = api.post(f"/v1/endpoints/{endpoint['id']}/rotate").json()
    tenant_again = api.post("/v1/webhook-secret/rotate").json()
    api.patch(f"/v1/endpoints/{endpoint['id']}", json={"disabled": True})
    job = submit(api, delivery={"endpoint": endpoint["id"]}).json()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    api.delete(f"/v1/keys/{key['id']}")
    for text in (key["key"], key_again["key"], "whsec_unknown-key-9876543210"):
        headers = {"Authorization": f"Bearer {text}"}
        api.get("/v1/jobs", headers=headers)
        api.post("/v1/keys", headers=headers, json={"name": text, "scopes": ["nonsense"]})
    secrets = [key["key"], key_again["key"], endpoint["secret"], endpoint_again["secret"]]
    secrets += [tenant_again["secret"], KEY, SECRET, SEALING, "whsec_unknown-key-9876543210"]
    paths = ["/v1/keys", "/v1/endpoints", "/v1/jobs", "/v1/deliveries", "/v1/models"]
    paths += [f"/v1/endpoints/{endpoint['id']}", f"/v1/jobs/{job['id']}"]
    paths += [f"/v1/jobs/{job['id']}/deliveries", "/healthz", "/readyz", "/openapi.json"]
    return secrets, paths


def plain(secret: str) -> list[bytes]:
    """How a secret would look where somebody kept it: whole, or without its prefix."""
    return [secret.encode(), secret.removeprefix("boxyard_").removeprefix("whsec_").encode()]


def test_no_secret_is_shown_twice_logged_or_kept(
    server: ServerProcess, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    with server.client(KEY) as api:
        secrets, paths = make_everything(api)
        answers = {path: api.get(path).content for path in paths}
    with redis.Redis.from_url(own_redis.url) as raw:
        dumps = {name: repr(kept(raw, name)).encode() for name in raw.scan_iter(count=1000)}
        dumps[b"SLOWLOG"] = repr(raw.slowlog_get(1000)).encode()
    files = {
        str(path): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "credentials.json"
    }
    assert any("appendonly" in name for name in files)
    assert b"job.accepted" in files[str(tmp_path / "server.log")]
    assert len(dumps) > 5
    for place, text in {**answers, **dumps, **files}.items():
        for secret in secrets:
            for form in plain(secret):
                assert form not in text, f"{place} shows {secret}"


def kept(raw: redis.Redis, name: bytes) -> object:
    """All that a key of Redis holds."""
    match raw.type(name):
        case b"hash":
            return raw.hgetall(name)
        case b"set":
            return raw.smembers(name)
        case b"zset":
            return raw.zrange(name, 0, -1)
        case b"list":
            return raw.lrange(name, 0, -1)
        case b"string":
            return raw.get(name)
        case kind:
            raise AssertionError(f"{name!r} is a {kind!r}")


@pytest.mark.parametrize(("keys", "why"), [("", "is not set"), ("secret", "holds what is no key")])
def test_a_server_without_a_sealing_key_says_what_to_set_and_ends(
    own_redis: EmbeddedRedis, tmp_path: Path, keys: str, why: str
) -> None:
    settings = LedgerSettings(redis_url=own_redis.url, blob_url=tmp_path.as_uri())
    with (
        pytest.raises(AssertionError, match=f"BOXYARD_SECRET_KEYS {why}"),
        serving_process(tmp_path, settings, secret_keys=keys),
    ):
        pass


def test_a_bootstrap_key_that_was_revoked_is_named_at_the_next_start(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    settings = LedgerSettings(redis_url=own_redis.url, blob_url=tmp_path.as_uri())
    start = {"api_key": KEY, "webhook_secret": SECRET, "secret_keys": SEALING}
    with serving_process(tmp_path, settings, **start) as server, server.client(KEY) as api:
        (bootstrap,) = api.get("/v1/keys").json()["keys"]
        assert api.delete(f"/v1/keys/{bootstrap['id']}").status_code == 204
    with serving_process(tmp_path, settings, **start) as server, server.client(KEY) as api:
        assert api.get("/v1/keys").status_code == 401
        (warning,) = (json.loads(x) for x in server.text().splitlines() if "revoked" in x)
        assert "BOXYARD_API_KEY was revoked or rotated" in warning["detail"]
        assert KEY not in server.text()


def test_an_empty_key_lets_nobody_in(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    settings = LedgerSettings(redis_url=own_redis.url, blob_url=tmp_path.as_uri())
    with serving_process(tmp_path, settings, api_key="", webhook_secret="") as server:
        for headers in ({"X-API-Key": ""}, {"Authorization": "Bearer"}, {}):
            assert httpx.get(f"{server.url}/v1/jobs", headers=headers).status_code == 401
