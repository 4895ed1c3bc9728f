"""The parts of the running application that a router asks for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from boxyard_ledger import Ledger

from .acceptance import Acceptance
from .checks import Checks
from .endings import Endings
from .lane import BlobLane
from .settings import ServerSettings


# Coroutines, because FastAPI would send plain functions through its thread pool.
async def _settings(request: Request) -> ServerSettings:
    settings: ServerSettings = request.app.state.settings
    return settings


async def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


async def _acceptance(request: Request) -> Acceptance:
    acceptance: Acceptance = request.app.state.acceptance
    return acceptance


async def _checks(request: Request) -> Checks:
    checks: Checks = request.app.state.checks
    return checks


async def _endings(request: Request) -> Endings:
    endings: Endings = request.app.state.endings
    return endings


async def _lane(request: Request) -> BlobLane:
    lane: BlobLane = request.app.state.lane
    return lane


TheSettings = Annotated[ServerSettings, Depends(_settings)]
TheLedger = Annotated[Ledger, Depends(_ledger)]
TheAcceptance = Annotated[Acceptance, Depends(_acceptance)]
TheChecks = Annotated[Checks, Depends(_checks)]
TheEndings = Annotated[Endings, Depends(_endings)]
TheLane = Annotated[BlobLane, Depends(_lane)]
