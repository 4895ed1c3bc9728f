from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from standardwebhooks import Webhook

from boxyard_ledger import Ledger
from boxyard_schemas import Endpoint, EndpointChange, EndpointRequest, EventType
from boxyard_schemas.errors import Conflict, NotFound
from boxyard_schemas.words import utc_now

REQUEST = EndpointRequest.model_validate({"url": "https://a.example/"})


def change(**wanted: object) -> EndpointChange:
    return EndpointChange.model_validate(wanted)


def test_an_endpoint_shows_its_secret_once_and_can_be_removed(ledger: Ledger):
    request = EndpointRequest.model_validate(
        {"url": "https://receiver.example/hook", "events": (EventType.DEAD,)}
    )
    created = ledger.endpoints.add("acme", request)
    (listed,) = ledger.endpoints.list("acme")
    assert not hasattr(listed, "secret")
    assert (listed.id, listed.url, listed.events) == (created.id, request.url, request.events)
    assert ledger.endpoints.get("acme", created.id) == listed
    assert ledger.endpoints.signing_secrets("acme", created.id) == [created.secret]
    ledger.endpoints.remove("acme", created.id)
    assert ledger.endpoints.list("acme") == []
    with pytest.raises(NotFound):
        ledger.endpoints.remove("acme", created.id)


def test_another_tenant_s_endpoint_can_be_neither_seen_nor_touched(ledger: Ledger):
    created = ledger.endpoints.add("acme", REQUEST)
    for reach in (
        lambda: ledger.endpoints.get("other", created.id),
        lambda: ledger.endpoints.signing_secrets("other", created.id),
        lambda: ledger.endpoints.change("other", created.id, change(disabled=True)),
        lambda: ledger.endpoints.disable("other", created.id, "mischief"),
        lambda: ledger.endpoints.rotate("other", created.id, 0),
        lambda: ledger.endpoints.remove("other", created.id),
    ):
        with pytest.raises(NotFound):
            reach()
    assert ledger.endpoints.callbacks("other") == {}
    assert ledger.endpoints.get("acme", created.id).disabled_at is None
    assert ledger.endpoints.signing_secrets("acme", created.id) == [created.secret]


def test_an_endpoint_s_secret_is_one_that_the_official_library_takes(ledger: Ledger):
    created = ledger.endpoints.add("acme", REQUEST)
    signature = Webhook(created.secret).sign("msg_1", utc_now(), "{}")
    assert signature.startswith("v1,")


def test_a_change_leaves_what_it_does_not_name(ledger: Ledger):
    created = ledger.endpoints.add("acme", REQUEST)
    filtered = ledger.endpoints.change("acme", created.id, change(events=["job.dead"]))
    assert (str(filtered.url), filtered.events) == ("https://a.example/", (EventType.DEAD,))
    moved = ledger.endpoints.change("acme", created.id, change(url="https://b.example/"))
    assert (str(moved.url), moved.events) == ("https://b.example/", (EventType.DEAD,))
    assert ledger.endpoints.get("acme", created.id) == moved
    callback = ledger.endpoints.callbacks("acme")[created.id]
    assert (str(callback.url), callback.events) == ("https://b.example/", (EventType.DEAD,))
    assert ledger.endpoints.signing_secrets("acme", created.id) == [created.secret]


def test_a_disabled_endpoint_says_when_and_why_until_it_is_enabled(ledger: Ledger):
    created = ledger.endpoints.add("acme", REQUEST)
    ledger.endpoints.disable("acme", created.id, "it answered 410")
    disabled = ledger.endpoints.get("acme", created.id)
    assert disabled.disabled_at is not None
    assert disabled.disabled_reason == "it answered 410"
    ledger.endpoints.disable("acme", created.id, "and once more")
    assert ledger.endpoints.get("acme", created.id) == disabled
    enabled = ledger.endpoints.change("acme", created.id, change(disabled=False))
    assert (enabled.disabled_at, enabled.disabled_reason) == (None, None)


def test_its_owner_may_disable_an_endpoint(ledger: Ledger):
    created = ledger.endpoints.add("acme", REQUEST)
    disabled = ledger.endpoints.change("acme", created.id, change(disabled=True))
    assert disabled.disabled_reason == "disabled by its owner"


def test_two_who_change_an_endpoint_at_once_both_have_their_way(ledger: Ledger):
    created = ledger.endpoints.add("acme", REQUEST)
    with ThreadPoolExecutor(8) as threads:
        for turn in range(40):
            wanted = {"url": "https://b.example/"} if turn % 2 else {"events": ["job.dead"]}
            threads.submit(ledger.endpoints.change, "acme", created.id, change(**wanted))
            threads.submit(ledger.endpoints.rotate, "acme", created.id, 60)
    found: Endpoint = ledger.endpoints.get("acme", created.id)
    assert (str(found.url), found.events) == ("https://b.example/", (EventType.DEAD,))
    assert len(ledger.endpoints.signing_secrets("acme", created.id)) == 2


def test_a_tenant_cannot_fill_redis_with_endpoints(ledger: Ledger):
    for _ in range(100):
        ledger.endpoints.add("acme", REQUEST)
    with pytest.raises(Conflict, match="100"):
        ledger.endpoints.add("acme", REQUEST)
