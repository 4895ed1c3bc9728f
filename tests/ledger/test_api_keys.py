from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
import redis

from boxyard_ledger import Ledger
from boxyard_schemas import ApiKey, Scope
from boxyard_schemas.errors import Conflict, NotFound
from boxyard_schemas.words import utc_now

Make = Callable[..., tuple[ApiKey, str]]


@pytest.fixture
def make(ledger: Ledger) -> Make:
    """A key of the tenant acme."""
    ledger.tenants.create("acme")
    ledger.tenants.create("other")

    def create(**wanted: object) -> tuple[ApiKey, str]:
        known = {"name": "line 4", "scopes": [Scope.READ], **wanted}
        return ledger.api_keys.create("acme", **known)

    return create


def expire(raw: redis.Redis, key: ApiKey, days_ago: float = 0) -> None:
    """Makes a key's end come."""
    stored = raw.hget("boxyard:acme:api-keys", key.id)
    assert isinstance(stored, str)
    assert key.expires_at is not None
    then = (utc_now() - timedelta(days=days_ago, seconds=1)).isoformat()
    former = key.model_dump(mode="json")["expires_at"]
    assert former in stored
    raw.hset("boxyard:acme:api-keys", key.id, stored.replace(former, then))


def test_a_key_opens_for_its_tenant_until_it_is_revoked(ledger: Ledger, make: Make):
    key, text = make(scopes=[Scope.READ, Scope.ENQUEUE, Scope.READ])
    assert key.scopes == (Scope.ENQUEUE, Scope.READ)
    assert ledger.api_keys.authenticate(text) == key
    assert ledger.api_keys.list("acme") == [key]
    ledger.api_keys.revoke("acme", key.id)
    assert ledger.api_keys.authenticate(text) is None
    assert ledger.api_keys.find(text) is None
    assert ledger.api_keys.list("acme") == []


def test_an_expired_key_opens_nothing_but_its_owner_may_learn_why(
    ledger: Ledger, make: Make, raw: redis.Redis
):
    key, text = make(expires_in_s=3600)
    assert key.expires_at is not None
    assert abs((key.expires_at - utc_now()).total_seconds() - 3600) < 60
    assert ledger.api_keys.authenticate(text) == key
    expire(raw, key)
    assert ledger.api_keys.authenticate(text) is None
    found = ledger.api_keys.find(text)
    assert found is not None
    assert found.id == key.id


def test_what_expired_long_ago_goes_when_a_key_is_made(
    ledger: Ledger, make: Make, raw: redis.Redis
):
    (recent, _), (old, old_text) = make(expires_in_s=9), make(expires_in_s=9)
    expire(raw, recent, days_ago=1)
    expire(raw, old, days_ago=8)
    made, _ = make()
    assert {key.id for key in ledger.api_keys.list("acme")} == {recent.id, made.id}
    assert ledger.api_keys.find(old_text) is None


def test_two_keys_made_at_once_may_find_the_same_one_expired(
    ledger: Ledger, make: Make, raw: redis.Redis
):
    old, _ = make(expires_in_s=60)
    expire(raw, old, days_ago=8)
    stored = raw.hget("boxyard:acme:api-keys", old.id)
    raw.hset("boxyard:acme:api-keys", "read before the other one revoked it", stored)
    made, _ = make()
    assert made in ledger.api_keys.list("acme")


def test_a_rotated_key_and_its_successor_are_both_good_for_a_while(
    ledger: Ledger, make: Make, raw: redis.Redis
):
    old, old_text = make(scopes=[Scope.ENQUEUE], expires_in_s=86400)
    new, new_text = ledger.api_keys.rotate("acme", old.id, overlap_s=600)
    assert (new.name, new.scopes) == (old.name, old.scopes)
    assert new.id != old.id
    assert new.expires_at is not None
    assert abs((new.expires_at - utc_now()).total_seconds() - 86400) < 60
    ending = ledger.api_keys.authenticate(old_text)
    assert ending is not None
    assert ending.expires_at is not None
    assert abs((ending.expires_at - utc_now()).total_seconds() - 600) < 60
    expire(raw, ending)
    assert ledger.api_keys.authenticate(old_text) is None
    assert ledger.api_keys.authenticate(new_text) == new
    with pytest.raises(Conflict):
        ledger.api_keys.rotate("acme", old.id, overlap_s=600)


def test_rotation_never_prolongs_the_old_key(ledger: Ledger, make: Make):
    old, old_text = make(expires_in_s=60)
    ledger.api_keys.rotate("acme", old.id, overlap_s=86400)
    known = ledger.api_keys.authenticate(old_text)
    assert known == old


def test_a_successor_of_one_that_was_rotated_before_is_good_as_long_as_the_first(
    ledger: Ledger, make: Make
):
    first, _ = make()
    ledger.api_keys.rotate("acme", first.id, overlap_s=60)
    again, _ = ledger.api_keys.rotate("acme", first.id, overlap_s=60)
    assert again.expires_at is None


def test_without_an_overlap_the_old_key_is_no_good_at_once(ledger: Ledger, make: Make):
    old, old_text = make()
    _, new_text = ledger.api_keys.rotate("acme", old.id, overlap_s=0)
    assert ledger.api_keys.authenticate(old_text) is None
    assert ledger.api_keys.authenticate(new_text)


def test_another_tenant_s_key_can_be_neither_seen_nor_touched(ledger: Ledger, make: Make):
    key, text = make()
    assert ledger.api_keys.list("other") == []
    with pytest.raises(NotFound):
        ledger.api_keys.revoke("other", key.id)
    with pytest.raises(NotFound):
        ledger.api_keys.rotate("other", key.id, overlap_s=0)
    assert ledger.api_keys.authenticate(text) == key


def test_a_text_whose_digest_only_begins_like_a_key_s_opens_nothing(
    ledger: Ledger, make: Make, raw: redis.Redis
):
    key, _ = make()
    beginning = hashlib.sha256(b"found with many tries").hexdigest()[:16]
    raw.hset("boxyard:api-keys", beginning, f"acme/{key.id}")
    assert ledger.api_keys.authenticate("found with many tries") is None


def test_a_tenant_cannot_fill_redis_with_keys(ledger: Ledger, make: Make):
    keys = [make()[0] for _ in range(100)]
    with pytest.raises(Conflict, match="100"):
        make()
    ledger.api_keys.revoke("acme", keys[0].id)
    make()


def test_a_key_that_is_revoked_while_it_is_rotated_does_not_come_back(ledger: Ledger, make: Make):
    for _ in range(20):
        key, text = make()
        both = threading.Barrier(2)

        def rotate(key: ApiKey = key, both: threading.Barrier = both) -> None:
            both.wait()
            with suppress(NotFound):
                ledger.api_keys.rotate("acme", key.id, overlap_s=60)

        thread = threading.Thread(target=rotate)
        thread.start()
        both.wait()
        ledger.api_keys.revoke("acme", key.id)
        thread.join()
        assert ledger.api_keys.authenticate(text) is None
        assert key.id not in {known.id for known in ledger.api_keys.list("acme")}
        for known in ledger.api_keys.list("acme"):
            ledger.api_keys.revoke("acme", known.id)
