"""The two ways to deliver, and how each fails."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from boxyard_ledger import DeliveryRecord, Ledger, read_result
from boxyard_schemas.errors import NotFound, Permanent, Retryable
from boxyard_schemas.words import utc_now

from ..egress import Egress, Response, read_retry_after
from .event import write_event

_GONE = "The receiver answered 410: it wants no more."


class Channel(Protocol):
    """Makes one attempt at a delivery."""

    def send(self, delivery: DeliveryRecord) -> None:
        """Returns when the receiver has it.

        Raises:
            Permanent: it never will.
            Retryable: not now; `retry_after_s` in its data is the receiver's wish.
            Unavailable: the ledger or the blob store is away.
            SetupError: no key opens the secret that signs.
            NotFound: the job or the endpoint is gone.
        """


class CallbackChannel:
    """Posts the event, signed as Standard Webhooks say."""

    def __init__(
        self, ledger: Ledger, egress: Egress, *, public_url: str, deadline_s: float
    ) -> None:
        self._ledger = ledger
        self._egress = egress
        self._public_url = public_url
        self._deadline_s = deadline_s

    def send(self, delivery: DeliveryRecord) -> None:
        """Posts; anything but 2xx is a failure, a redirect too. 410 disables the endpoint."""
        url = self._url(delivery)
        status = self._ledger.jobs.get(delivery.tenant, delivery.job)
        body = write_event(status, delivery.event, self._ledger.blobs, self._public_url)
        headers = sign(delivery.id, body, self._secrets(delivery), utc_now())
        answer = self._egress.post(url, body, headers, self._deadline_s)
        if answer.status == HTTPStatus.GONE and delivery.endpoint:
            self._ledger.endpoints.disable(delivery.tenant, delivery.endpoint, _GONE)
        check(answer)

    def _url(self, delivery: DeliveryRecord) -> str:
        """Where it goes now: an endpoint may have moved since.

        Raises:
            Permanent: `endpoint-gone` or `endpoint-disabled`.
        """
        if not delivery.endpoint:
            return delivery.target
        try:
            endpoint = self._ledger.endpoints.get(delivery.tenant, delivery.endpoint)
        except NotFound as error:
            raise Permanent("endpoint-gone", error.detail) from error
        if endpoint.disabled_at:
            raise Permanent("endpoint-disabled", endpoint.disabled_reason or "it is disabled")
        return str(endpoint.url)

    def _secrets(self, delivery: DeliveryRecord) -> list[str]:
        if delivery.endpoint:
            return self._ledger.endpoints.signing_secrets(delivery.tenant, delivery.endpoint)
        return self._ledger.tenants.webhook_secrets(delivery.tenant)


class BucketChannel:
    """Copies the recorded result to `{prefix}/{job}.json` of the caller's bucket."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def send(self, delivery: DeliveryRecord) -> None:
        """Copies."""
        status = self._ledger.jobs.get(delivery.tenant, delivery.job)
        if status.result is None:
            raise Permanent("no-result", f"{delivery.job} ended without a result")
        result = read_result(self._ledger.blobs, status.result)
        uri = f"{delivery.target.rstrip('/')}/{delivery.job}.json"
        self._ledger.buckets.put(uri, result, "application/json")


def sign(delivery_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers of a callback.

    Args:
        delivery_id: stable over attempts.
        body: UTF-8, exactly as it is posted.
        secrets: `whsec_…`, newest first; each gives a signature of its own.
        now: in UTC; the library signs another instant otherwise.

    Raises:
        Permanent: `secret-unusable`.
    """
    try:
        signatures = [Webhook(each).sign(delivery_id, now, body.decode()) for each in secrets]
    except (binascii.Error, EmptyWebhookSecretError) as error:
        raise Permanent("secret-unusable", f"the webhook secret is not base64: {error}") from error
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def check(answer: Response) -> None:
    """Tells a receiver's answers apart.

    Raises:
        Permanent: 410, the receiver wants no more.
        Retryable: any other answer but 2xx.
    """
    reason, detail = f"status-{answer.status}", f"the receiver answered {answer.status}"
    if answer.status == HTTPStatus.GONE:
        raise Permanent(reason, detail)
    if not 200 <= answer.status < 300:
        raise Retryable(reason, detail, retry_after_s=read_retry_after(answer.headers, utc_now()))
