"""Who is told when a job ends: the deliveries that are written with its last state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from boxyard_schemas import Callback, EventType, JobState, new_id

from . import keys
from .records import DeliveryKind, DeliveryRecord, JobRecord


def plan_deliveries(
    job: JobRecord, state: JobState, endpoints: Mapping[str, Callback], at: datetime
) -> list[DeliveryRecord]:
    """The deliveries of a job that ends.

    Args:
        job: what was accepted.
        state: the terminal state.
        endpoints: the tenant's endpoints, by id; one that was removed gets nothing.
        at: when the job ends.
    """
    planned: list[tuple[DeliveryKind, str, str | None]] = []
    wanted, event = job.delivery, EventType(f"job.{state}")
    if wanted.callback and event in wanted.callback.events:
        planned.append((DeliveryKind.CALLBACK, str(wanted.callback.url), None))
    endpoint = endpoints.get(wanted.endpoint) if wanted.endpoint else None
    if endpoint and event in endpoint.events:
        planned.append((DeliveryKind.CALLBACK, str(endpoint.url), wanted.endpoint))
    if wanted.s3 and state in (JobState.SUCCEEDED, JobState.FAILED):
        planned.append((DeliveryKind.BUCKET, wanted.s3, None))
    return [
        DeliveryRecord(
            id=new_id("dlv"),
            tenant=job.tenant,
            job=job.id,
            kind=kind,
            target=target,
            endpoint=endpoint_id,
            event=event,
            created_at=at,
        )
        for kind, target, endpoint_id in planned
    ]


def measure_deliveries(job: JobRecord) -> tuple[int, int, int]:
    """How many deliveries the end of a job may bring, and the bytes of their records and receivers.

    A job that names an endpoint gets one delivery more, whose URL is not known before it ends.
    """
    if not (job.delivery.callback or job.delivery.s3):
        return int(bool(job.delivery.endpoint)), 0, 0
    plans = [
        plan_deliveries(job, state, {}, job.created_at) for state in JobState if state.terminal
    ]
    most = max(plans, key=len)
    return (
        len(most) + bool(job.delivery.endpoint),
        sum(len(delivery.model_dump_json().encode()) for delivery in most),
        sum(len(receiver_of(delivery).encode()) for delivery in most),
    )


def receiver_of(delivery: DeliveryRecord) -> str:
    """Whom a delivery would keep busy: `tenant/scheme://host:port/path`, or `tenant/s3://bucket`.

    By path, because one host often serves several receivers, and by tenant, because nobody may
    hold up another tenant's deliveries to the same host.
    """
    parts = urlsplit(delivery.target)
    if delivery.kind is DeliveryKind.BUCKET:
        return keys.member(delivery.tenant, f"s3://{parts.hostname}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    origin = f"{parts.scheme}://{parts.hostname}:{port}"
    return keys.member(delivery.tenant, origin + (parts.path or "/"))


def lanes_of(receiver: str) -> tuple[str, str]:
    """What a receiver shares with others: its `tenant`, and its `tenant/origin`."""
    tenant, *origin = receiver.split("/", 4)[:4]
    return tenant, "/".join((tenant, *origin))


def outbox_keys(deliveries: list[DeliveryRecord]) -> list[str]:
    """The last KEYS of a script that ends a job."""
    return [
        key
        for delivery in deliveries
        for key in (
            keys.delivery(delivery.tenant, delivery.id),
            keys.pending(receiver_of(delivery)),
        )
    ]


def outbox_args(deliveries: list[DeliveryRecord]) -> list[str]:
    """The last ARGV of a script that ends a job."""
    return [
        word
        for delivery in deliveries
        for word in (
            keys.member(delivery.tenant, delivery.id),
            receiver_of(delivery),
            delivery.model_dump_json(),
        )
    ]
