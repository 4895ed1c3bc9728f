"""`/v1/endpoints`: callback endpoints with secrets of their own."""

from __future__ import annotations

from boxyard_schemas import (
    Endpoint,
    EndpointChange,
    EndpointCreated,
    EndpointList,
    EndpointRequest,
    Scope,
)
from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound

from .access import Caller, guarded_router, needs
from .keys import OverlapS
from .names import NamedEndpoint
from .parts import TheChecks, TheLedger
from .problems import responses

router = guarded_router(prefix="/v1/endpoints", tag="endpoints")

_admin = [needs(Scope.ADMIN)]


@router.post(
    "", status_code=201, dependencies=_admin, responses=responses(Conflict, InvalidRequest)
)
def add_endpoint(
    request: EndpointRequest, tenant: Caller, ledger: TheLedger, checks: TheChecks
) -> EndpointCreated:
    """Set a callback endpoint up. Its secret is shown this once."""
    checks.check_url("url", str(request.url))
    return ledger.endpoints.add(tenant, request)


@router.get("")
def list_endpoints(tenant: Caller, ledger: TheLedger) -> EndpointList:
    """This tenant's endpoints, oldest first."""
    return EndpointList(endpoints=tuple(ledger.endpoints.list(tenant)))


@router.get("/{endpoint_id}", responses=responses(NotFound))
def read_endpoint(endpoint_id: NamedEndpoint, tenant: Caller, ledger: TheLedger) -> Endpoint:
    """One endpoint, and whether and why it is disabled."""
    return ledger.endpoints.get(tenant, endpoint_id)


@router.patch("/{endpoint_id}", dependencies=_admin, responses=responses(NotFound, InvalidRequest))
def change_endpoint(
    endpoint_id: NamedEndpoint,
    change: EndpointChange,
    tenant: Caller,
    ledger: TheLedger,
    checks: TheChecks,
) -> Endpoint:
    """Move, filter, disable or enable an endpoint; what is left out stays as it is."""
    if change.url:
        checks.check_url("url", str(change.url))
    return ledger.endpoints.change(tenant, endpoint_id, change)


@router.post(
    "/{endpoint_id}/rotate", dependencies=_admin, responses=responses(NotFound, InvalidRequest)
)
def rotate_endpoint_secret(
    endpoint_id: NamedEndpoint, tenant: Caller, ledger: TheLedger, overlap_s: OverlapS
) -> EndpointCreated:
    """Give an endpoint a new secret, shown this once; for a while the old one signs too."""
    return ledger.endpoints.rotate(tenant, endpoint_id, overlap_s)


@router.delete(
    "/{endpoint_id}", status_code=204, dependencies=_admin, responses=responses(NotFound)
)
def remove_endpoint(endpoint_id: NamedEndpoint, tenant: Caller, ledger: TheLedger) -> None:
    """Take an endpoint away."""
    ledger.endpoints.remove(tenant, endpoint_id)
