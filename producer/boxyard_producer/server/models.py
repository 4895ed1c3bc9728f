"""`/v1/models`."""

from __future__ import annotations

from boxyard_schemas import Model, ModelList
from boxyard_schemas.errors import UnknownModel

from .access import Caller, guarded_router
from .catalogue import find_model, list_models
from .parts import TheLedger
from .problems import responses

router = guarded_router(prefix="/v1/models", tag="models")


@router.get("")
def read_models(_: Caller, ledger: TheLedger) -> ModelList:
    """Models that jobs may name, who serves them, and how many jobs wait."""
    return ModelList(models=list_models(ledger))


@router.get("/{name}", responses=responses(UnknownModel))
def read_model(name: str, _: Caller, ledger: TheLedger) -> Model:
    """One model, by any of its names."""
    return find_model(ledger, name)
