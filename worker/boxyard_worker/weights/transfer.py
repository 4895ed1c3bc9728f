"""The rest of one file from one address, tried again while more of it comes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import httpx

from boxyard_schemas.errors import SetupError
from boxyard_worker.weights.answer import (
    Interrupted,
    Refused,
    check_status,
    find_offset,
    find_total,
)
from boxyard_worker.weights.part import Part
from boxyard_worker.weights.settings import WeightsSettings

_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class Progress(Protocol):
    """Is told how far a download is."""

    def __call__(self, done: int, total: int | None) -> None:
        """Takes the bytes that are here, and how many there will be where the server says it."""


class Transfer:
    """What is still missing of a part, from one address.

    Args:
        client: the connections.
        address: whom to ask.
        part: what is here already.
        settings: limits.
        end: by the monotonic clock.
        progress: is told of it.
    """

    def __init__(
        self,
        *,
        client: httpx.Client,
        address: str,
        part: Part,
        settings: WeightsSettings,
        end: float,
        progress: Progress,
    ) -> None:
        self._client, self._address, self._part = client, address, part
        self._settings, self._end, self._progress = settings, end, progress

    def run(self) -> None:
        """Fetches it.

        Raises:
            Refused: the address does not give it.
            SetupError: a limit of this machine or of its settings is reached.
        """
        failures = 0
        while True:
            before = self._part.size
            try:
                self._try()
                return
            except Interrupted as fault:
                failures = 1 if self._part.size > before else failures + 1
                if failures >= self._settings.weights_attempts:
                    raise Refused(str(fault)) from fault
            pause = min(_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S)
            time.sleep(max(0.0, min(pause, self._end - time.monotonic())))

    def _try(self) -> None:
        with _translated(), self._request() as response:
            if self._begins_with(response):
                self._write(response)

    def _request(self) -> AbstractContextManager[httpx.Response]:
        headers = self._part.headers(self._address)
        return self._client.stream("GET", self._address, headers=headers)

    def _begins_with(self, response: httpx.Response) -> bool:
        """Gets the part ready for what follows; False: nothing does, the file is whole."""
        status, here = response.status_code, self._part.size
        if status == 416 and here:
            if find_total(response) == here:
                return False
            self._part.empty()
            raise Interrupted("its file is not the one that was begun")
        check_status(response)
        if status == 206 and find_offset(response) != here:
            self._part.empty()
            raise Interrupted("it answered with another range than was asked for")
        if status == 200:
            self._part.empty()
        self._part.belong(self._address, dict(response.headers))
        return True

    def _write(self, response: httpx.Response) -> None:
        total = find_total(response)
        self._check_room(total)
        done = self._part.size
        with self._part.path.open("ab") as file:
            for chunk in response.iter_raw():  # as they come: a cut must cost none of them
                file.write(chunk)
                done += len(chunk)
                self._check_limits(done)
                self._progress(done, total)
        if total is not None and done != total:
            raise Interrupted(f"it sent {done} of {total} bytes")

    def _check_room(self, total: int | None) -> None:
        if total is None:
            return
        self._check_limits(total)
        wanted = 2 * total - self._part.size  # the file, and its tensors as safetensors
        free = shutil.disk_usage(self._part.path.parent).free
        if wanted > free:
            raise SetupError(
                f"{self._part.path.parent} has room for {free >> 20} MiB, and {wanted >> 20} MiB"
                " are needed. Make room there or set BOXYARD_WEIGHTS_DIR."
            )

    def _check_limits(self, size: int) -> None:
        if size > self._settings.weights_max_bytes:
            self._part.empty()
            raise Refused(
                f"its file has {size} bytes or more, and BOXYARD_WEIGHTS_MAX_BYTES is"
                f" {self._settings.weights_max_bytes}"
            )
        if time.monotonic() > self._end:
            raise SetupError(
                f"{self._address} took more than {self._settings.weights_deadline_s:g} s"
                " (BOXYARD_WEIGHTS_DEADLINE_S). Pull again to go on from here."
            )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    except httpx.HTTPError as error:
        raise Interrupted(f"{type(error).__name__}: {error}".removesuffix(": ")) from error
    except OSError as error:
        raise SetupError(f"{error.filename or 'The download'}: {error.strerror}.") from error
