"""The parts of the running application that a router asks for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from boxyard_ledger import Ledger

from .acceptance import Acceptance
from .bootstrap import Bootstrap
from .checks import Checks
from .endings import Endings
from .lane import BlobLane
from .settings import ServerSettings


def _part(name: str) -> Any:
    # A coroutine, because FastAPI would send a plain function through its thread pool.
    async def find(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(find)


TheSettings = Annotated[ServerSettings, _part("settings")]
TheLedger = Annotated[Ledger, _part("ledger")]
TheAcceptance = Annotated[Acceptance, _part("acceptance")]
TheBootstrap = Annotated[Bootstrap, _part("bootstrap")]
TheChecks = Annotated[Checks, _part("checks")]
TheEndings = Annotated[Endings, _part("endings")]
TheLane = Annotated[BlobLane, _part("lane")]
