"""The consumer kit on the base install: no framework, no Redis, no other library."""

from __future__ import annotations

import json

import pytest

from boxyard_producer.webhooks import MemoryDeduplication, WebhookInvalid, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
JOB = {
    "id": "job_01a1fcd1c3b8f5779c6eb23800d58fc1",
    "model": "rtmdet-ins_demo",
    "state": "cancelled",
    "images": {"total": 1},
    "created_at": "2026-11-21T06:36:07Z",
}
EVENT = {"type": "job.cancelled", "timestamp": "2026-11-21T06:36:09Z", "data": {"job": JOB}}


def test_a_callback_is_verified_and_acted_on_once():
    body, seen = json.dumps(EVENT).encode(), MemoryDeduplication()
    event = verify(sign("dlv_1", body, SECRET), body, SECRET)
    assert event.data.job.id == JOB["id"]
    for expected in (True, False):
        with seen.once(event.id) as first:
            assert first is expected


def test_a_forged_callback_is_refused():
    body = json.dumps(EVENT).encode()
    with pytest.raises(WebhookInvalid):
        verify(sign("dlv_1", body, "whsec_Zm9yZ2VkIQ=="), body, SECRET)
