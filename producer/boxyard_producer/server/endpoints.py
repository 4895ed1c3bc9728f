"""`/v1/endpoints`: callback endpoints with secrets of their own."""

from __future__ import annotations

from boxyard_schemas import EndpointCreated, EndpointList, EndpointRequest
from boxyard_schemas.errors import InvalidRequest, NotFound

from .access import Caller, guarded_router
from .parts import TheChecks, TheLedger
from .problems import responses

router = guarded_router(prefix="/v1/endpoints", tag="endpoints")


@router.post("", status_code=201, responses=responses(InvalidRequest))
def add_endpoint(
    request: EndpointRequest, tenant: Caller, ledger: TheLedger, checks: TheChecks
) -> EndpointCreated:
    """Set a callback endpoint up. Its secret is shown this once."""
    checks.check_url("url", str(request.url))
    return ledger.tenants.add_endpoint(tenant, request)


@router.get("")
def list_endpoints(tenant: Caller, ledger: TheLedger) -> EndpointList:
    """This tenant's endpoints, oldest first."""
    return EndpointList(endpoints=tuple(ledger.tenants.endpoints(tenant)))


@router.delete("/{endpoint_id}", status_code=204, responses=responses(NotFound))
def remove_endpoint(endpoint_id: str, tenant: Caller, ledger: TheLedger) -> None:
    """Take an endpoint away."""
    ledger.tenants.remove_endpoint(tenant, endpoint_id)
