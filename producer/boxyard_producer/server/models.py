"""`/v1/models`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from boxyard_schemas import Model, ModelFilters, ModelList
from boxyard_schemas.errors import InvalidRequest, UnknownModel

from .access import Caller, guarded_router
from .catalogue import find_model, list_models
from .deprecation import HEADERS, announce
from .parts import TheLedger
from .problems import responses

router = guarded_router(prefix="/v1/models", tag="models")


@router.get("", responses=responses(InvalidRequest))
def read_models(
    _: Caller, ledger: TheLedger, filters: Annotated[ModelFilters, Query()]
) -> ModelList:
    """Models that jobs may name, who serves them, and how many jobs wait."""
    return ModelList(models=list_models(ledger, filters))


@router.get("/{name}", responses={200: {"headers": HEADERS}, **responses(UnknownModel)})
def read_model(name: str, _: Caller, ledger: TheLedger, response: Response) -> Model:
    """One model, by any of its names."""
    model = find_model(ledger, name)
    announce(response, name, f"/v1/models/{model.name}")
    return model
