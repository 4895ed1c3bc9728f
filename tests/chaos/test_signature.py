"""Fault 37: callbacks that somebody touched on their way, and secrets that change."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from chaos.faults import fault
from chaos.listener import Listener
from chaos.trial import Figures, Trial
from pictures import png, scene
from receivers import Received

Message = tuple[bytes, dict[str, str]]


@contextmanager
def listening(trial: Trial, good: list[str]) -> Iterator[Listener]:
    """A receiver of A's; `good` are the secrets that it goes by."""
    listener = Listener(trial.a.tenant, lambda: good, trial.history)
    yield listener
    listener.close()


def hear(trial: Trial, listener: Listener, delivery: dict[str, object]) -> Received:
    """The callback of one more job."""
    so_far = len(listener.requests)
    trial.a.submit(trial.a.upload(png(scene())), delivery=delivery)
    return listener.wait(so_far + 1)[-1]


def verifies(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError):  # what is no number, say, or no UTF-8
        return False
    return True


def touched(received: Received) -> Iterator[Message]:
    """The callback with each of its bytes flipped in turn: body, id, moment and signature."""
    headers = {name: received.headers[name] for name in received.headers if "webhook" in name}
    for body in flipped(received.body):
        yield body, headers
    for name in ("webhook-id", "webhook-timestamp"):
        for value in flipped(headers[name].encode()):
            yield received.body, {**headers, name: value.decode()}
    version, _, signature = headers["webhook-signature"].partition(",")
    for value in flipped(b64decode(signature)):
        changed = f"{version},{b64encode(value).decode()}"
        yield received.body, {**headers, "webhook-signature": changed}
    yield received.body, {**headers, "webhook-signature": f"v2,{signature}"}


def flipped(data: bytes) -> Iterator[bytes]:
    for index in range(len(data)):
        yield data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


@fault(37, "a callback is touched on its way")
def test_the_official_verifier_refuses_a_callback_with_any_byte_flipped(
    trial: Trial, figures: Figures
) -> None:
    """each byte of a real callback's body, id, moment and signature flipped"""
    (secret,) = trial.stack.ledger.tenants.webhook_secrets(trial.a.tenant)
    with listening(trial, [secret]) as listener:
        received = hear(trial, listener, {"callback": {"url": listener.url}})
        trial.conclude(figures)
    assert verifies(secret, received.body, received.headers)
    outcomes = [verifies(secret, *message) for message in touched(received)]
    figures["touched"], figures["believed"] = len(outcomes), sum(outcomes)
    assert len(outcomes) > len(received.body)
    assert not any(outcomes)


@fault(37, "the secret is rotated")
@pytest.mark.parametrize("whose", ["tenant", "endpoint"])
def test_both_secrets_sign_while_one_is_rotated_and_then_the_new_one_alone(
    trial: Trial, figures: Figures, whose: str
) -> None:
    """a secret rotated with an overlap and then without, a callback after each"""
    good: list[str] = []
    with listening(trial, good) as listener:
        if whose == "endpoint":
            created = trial.a.insist("POST", "/v1/endpoints", json={"url": listener.url})
            delivery: dict[str, object] = {"endpoint": created.json()["id"]}
            path, old = f"/v1/endpoints/{created.json()['id']}/rotate", created.json()["secret"]
        else:
            delivery, path = {"callback": {"url": listener.url}}, "/v1/webhook-secret/rotate"
            (old,) = trial.stack.ledger.tenants.webhook_secrets(trial.a.tenant)
        good.append(old)
        new = rotate(trial, path, overlap_s=3600)
        both = hear(trial, listener, delivery)
        newest = rotate(trial, path, overlap_s=0)
        good.append(newest)
        alone = hear(trial, listener, delivery)
        trial.conclude(figures)
    assert [verifies(each, both.body, both.headers) for each in (old, new)] == [True, True]
    found = [verifies(each, alone.body, alone.headers) for each in (old, new, newest)]
    assert found == [False, False, True]


def rotate(trial: Trial, path: str, *, overlap_s: int) -> str:
    answer = trial.a.insist("POST", path, json={"overlap_s": overlap_s})
    secret: str = answer.json()["secret"]
    return secret
