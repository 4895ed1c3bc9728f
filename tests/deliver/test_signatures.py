"""The official library takes what we sign, by every secret that is good, and nothing near it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from boxyard_ledger.sealing import new_secret
from boxyard_schemas import EndpointRequest, new_id
from boxyard_schemas.errors import Permanent
from boxyard_schemas.words import utc_now
from boxyard_worker.deliver.channels import sign
from process import await_true
from receivers import Received, Receiver

from .conftest import SECRET, Yard, result_of

OLD, NEW, OTHER = new_secret(), new_secret(), new_secret()
BODY = result_of(new_id("job"), boxes=2).model_dump_json().encode()


def accepts(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    """What the official library says; it also raises ValueError on what is malformed."""
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def got(received: Received, secret: str) -> bool:
    return accepts(secret, received.body, received.headers)


def flips(text: bytes) -> Iterator[bytes]:
    """The text with each bit of each byte turned over."""
    for at, byte in enumerate(text):
        for bit in range(8):
            yield text[:at] + bytes([byte ^ 1 << bit]) + text[at + 1 :]


def means(signature: str) -> bytes | None:
    """The 32 bytes that a signature stands for."""
    try:
        return base64.b64decode(signature.removeprefix("v1,"))
    except ValueError:
        return None


def test_both_signatures_of_an_overlap_are_good_and_no_third() -> None:
    headers = sign("dlv_1", BODY, [NEW, OLD], utc_now())
    assert headers["webhook-signature"].count("v1,") == 2
    assert accepts(NEW, BODY, headers)
    assert accepts(OLD, BODY, headers)
    assert not accepts(OTHER, BODY, headers)
    alone = sign("dlv_1", BODY, [NEW], utc_now())
    assert accepts(NEW, BODY, alone)
    assert not accepts(OLD, BODY, alone)


def test_no_bit_of_the_body_may_change() -> None:
    headers = sign("dlv_1", BODY, [NEW, OLD], utc_now())
    refused = [not accepts(OLD, changed, headers) for changed in flips(BODY)]
    assert (len(refused), all(refused)) == (8 * len(BODY), True)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_no_bit_of_id_or_timestamp_may_change(name: str) -> None:
    headers = sign(new_id("dlv"), BODY, [NEW, OLD], utc_now())
    for changed in flips(headers[name].encode()):
        forged = {**headers, name: changed.decode("latin-1")}
        assert not accepts(OLD, BODY, forged), changed
        assert not accepts(NEW, BODY, forged), changed


def test_no_bit_that_a_signature_means_may_change() -> None:
    headers = sign(new_id("dlv"), BODY, [NEW], utc_now())
    signature, refused = headers["webhook-signature"], 0
    for flipped in flips(signature.encode()):
        changed = flipped.decode("latin-1")
        # Two bits of the last letter of base64 mean nothing.
        if changed.startswith("v1,") and means(changed) == means(signature):
            continue
        refused += 1
        assert not accepts(NEW, BODY, {**headers, "webhook-signature": changed}), changed
    assert refused >= 8 * len(signature) - 4


@given(data=st.data())
def test_nothing_else_in_place_of_a_part_is_taken(data: st.DataObject) -> None:
    headers = sign("dlv_1", BODY, [NEW, OLD], utc_now())
    body = data.draw(st.one_of(st.just(BODY), st.binary()))
    name = data.draw(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]))
    text = data.draw(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
    forged = {**headers, name: text}
    assert not accepts(NEW, body, forged) or forged == headers


def test_a_body_of_any_letters_is_signed_as_it_is_posted() -> None:
    body = '{"label": "Dose für Öl: 罐"}'.encode()
    assert accepts(NEW, body, sign("dlv_1", body, [NEW], utc_now()))


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!", "whsec_a"])
def test_a_secret_that_cannot_sign_ends_the_delivery(secret: str) -> None:
    with pytest.raises(Permanent) as refused:
        sign("dlv_1", BODY, [NEW, secret], utc_now())
    assert refused.value.reason == "secret-unusable"


class Signer:
    """An endpoint's or the tenant's own secret: what it signs, and its rotation."""

    def __init__(self, yard: Yard, receiver: Receiver, *, of_endpoint: bool) -> None:
        self._yard, self._ledger, self._receiver = yard, yard.ledger, receiver
        self._endpoint, self.first = "", SECRET
        if of_endpoint:
            wanted = EndpointRequest.model_validate({"url": receiver.url})
            made = yard.ledger.endpoints.add("acme", wanted)
            self._endpoint, self.first = made.id, made.secret

    def rotate(self, overlap_s: float) -> str:
        if self._endpoint:
            return self._ledger.endpoints.rotate("acme", self._endpoint, overlap_s).secret
        return self._ledger.tenants.rotate_webhook_secret("acme", overlap_s)

    def secrets(self) -> list[str]:
        if self._endpoint:
            return self._ledger.endpoints.signing_secrets("acme", self._endpoint)
        return self._ledger.tenants.webhook_secrets("acme")

    def deliver(self) -> Received:
        """A callback as it arrives."""
        callback: dict[str, object] = {"callback": {"url": self._receiver.url}}
        where = {"endpoint": self._endpoint} if self._endpoint else callback
        self._yard.ended(self._yard.end_job(**where))
        return self._receiver.requests[-1]


@pytest.fixture(params=["endpoint", "tenant"])
def signer(request: pytest.FixtureRequest, yard: Yard) -> Iterator[Signer]:
    with Receiver() as receiver:
        yield Signer(yard, receiver, of_endpoint=request.param == "endpoint")


def test_during_an_overlap_receivers_with_either_secret_verify_what_arrives(
    yard: Yard, signer: Signer
) -> None:
    with yard.delivering():
        before = signer.deliver()
        new = signer.rotate(600)
        during = signer.deliver()
        newest = signer.rotate(600)
        again = signer.deliver()
    assert (got(before, signer.first), got(before, new)) == (True, False)
    assert (got(during, signer.first), got(during, new)) == (True, True)
    assert [got(again, each) for each in (signer.first, new, newest)] == [False, True, True]
    assert again.headers["webhook-signature"].count("v1,") == 2


def test_after_its_end_the_old_secret_signs_no_more(yard: Yard, signer: Signer) -> None:
    new = signer.rotate(4)
    assert signer.secrets() == [new, signer.first]
    await_true(lambda: signer.secrets() == [new], "the end of the overlap")
    with yard.delivering():
        after = signer.deliver()
    assert (got(after, signer.first), got(after, new)) == (False, True)


def test_without_an_overlap_the_old_secret_ends_at_once(yard: Yard, signer: Signer) -> None:
    new = signer.rotate(0)
    with yard.delivering():
        after = signer.deliver()
    assert (got(after, signer.first), got(after, new)) == (False, True)
