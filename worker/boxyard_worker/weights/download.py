"""One file from the first address that gives it whole; what has come is never asked for again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from boxyard_schemas.errors import SetupError
from boxyard_worker.detector.digest import hash_file
from boxyard_worker.weights.answer import Refused
from boxyard_worker.weights.part import Part
from boxyard_worker.weights.settings import WeightsSettings
from boxyard_worker.weights.transfer import Progress, Transfer

_REDIRECTS = 5


def download(
    addresses: Sequence[str],
    target: Path,
    digest: str,
    settings: WeightsSettings,
    progress: Progress,
) -> str:
    """Fetches a file.

    Args:
        addresses: asked in this order.
        target: the file to write; what has come of it stays beside it when this fails.
        digest: hex digits that the file's sha256 begins with, or "" where nobody says any.
        settings: limits.
        progress: is told of it.

    Returns:
        The address that gave it.

    Raises:
        SetupError: no address gave it within the limits, or the disk is full.
    """
    part, faults = Part(target, checked=bool(digest)), []
    end = time.monotonic() + settings.weights_deadline_s
    with _client(settings) as client:
        for address in addresses:
            transfer = Transfer(
                client=client,
                address=address,
                part=part,
                settings=settings,
                end=end,
                progress=progress,
            )
            try:
                _fetch_whole(transfer, part, digest)
            except Refused as fault:
                faults.append(f"{address}: {fault}")
                continue
            part.finish()
            return address
    raise SetupError(
        f"{target.name} cannot be fetched.\n"
        + "\n".join(faults)
        + "\nPull again to go on from what has come, name another host by --mirror URL, or bring"
        " the file some other way and take it by --from FILE."
    )


def _client(settings: WeightsSettings) -> httpx.Client:
    # Proxies and authorities of the environment hold: this is the operator's own command.
    return httpx.Client(
        follow_redirects=True,
        max_redirects=_REDIRECTS,
        timeout=settings.weights_timeout_s,
        headers={"Accept-Encoding": "identity", "User-Agent": "boxyard"},
        event_hooks={"response": [_stay_secure]},
    )


def _stay_secure(response: httpx.Response) -> None:
    if response.has_redirect_location and response.url.scheme == "https":
        onward = response.url.join(response.headers["location"])
        if onward.scheme != "https":
            raise Refused(f"it leads from https to {onward}")


def _fetch_whole(transfer: Transfer, part: Part, digest: str) -> None:
    begun_elsewhere = part.size > 0
    transfer.run()
    found = hash_file(part.path)
    if found.startswith(digest):
        return
    part.empty()
    if begun_elsewhere:  # the beginning was of another file
        _fetch_whole(transfer, part, digest)
        return
    raise Refused(f"what it gives is damaged: its sha256 begins with {found[:8]}, not {digest}")
