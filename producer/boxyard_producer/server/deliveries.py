"""`/v1/deliveries`: what was told, what was given up, and once more."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query

from boxyard_schemas import (
    DeliveriesReplayed,
    DeliveryId,
    DeliveryPage,
    DeliveryReplay,
    JobDelivery,
    Scope,
)
from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound

from .access import Caller, guarded_router, needs
from .names import NamedDelivery
from .outbox import view
from .parts import TheLedger, TheSettings
from .problems import responses

router = guarded_router(prefix="/v1/deliveries", tag="deliveries")

_admin = [needs(Scope.ADMIN)]


@router.get("", responses=responses(InvalidRequest))
def list_deliveries(
    *,
    tenant: Caller,
    ledger: TheLedger,
    settings: TheSettings,
    state: Annotated[Literal["exhausted"], Query(description="No other is listed across jobs.")],
    limit: Annotated[
        int, Query(ge=1, description="Deliveries on the page, up to the server's cap.")
    ] = 50,
    cursor: DeliveryId | None = None,
) -> DeliveryPage:
    """This tenant's deliveries that were given up, newest first. A job's own are at the job."""
    page, following = ledger.deliveries.exhausted(
        tenant, limit=min(limit, settings.max_page), cursor=cursor
    )
    return DeliveryPage(deliveries=tuple(map(view, page)), next_cursor=following)


@router.post("/replay", dependencies=_admin, responses=responses(InvalidRequest))
def replay_deliveries(
    tenant: Caller, ledger: TheLedger, request: DeliveryReplay | None = None
) -> DeliveriesReplayed:
    """Make deliveries that were given up, all or those to one endpoint, due again, oldest first.

    A request takes about a thousand; where there may be more, the answer has a cursor.
    """
    wanted = request or DeliveryReplay()
    replayed, following = ledger.deliveries.replay_exhausted(
        tenant, endpoint=wanted.endpoint, cursor=wanted.cursor
    )
    return DeliveriesReplayed(replayed=replayed, next_cursor=following)


@router.get("/{delivery_id}", responses=responses(NotFound))
def read_delivery(delivery_id: NamedDelivery, tenant: Caller, ledger: TheLedger) -> JobDelivery:
    """How a delivery stands."""
    return view(ledger.deliveries.get(tenant, delivery_id))


@router.post("/{delivery_id}/replay", dependencies=_admin, responses=responses(NotFound, Conflict))
def replay_delivery(delivery_id: NamedDelivery, tenant: Caller, ledger: TheLedger) -> JobDelivery:
    """Make a delivery that has ended due again, under its old id; its log stays."""
    return view(ledger.deliveries.replay(tenant, delivery_id))
