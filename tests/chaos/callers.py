"""Tenants: what they ask of the server goes into the history, and so does every answer."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, NamedTuple

import httpx

from boxyard_schemas import ImageSuccess, JobResult
from chaos.history import (
    Accepted,
    Asked,
    Blunder,
    Erasing,
    History,
    Missing,
    Refused,
    Replaying,
    Result,
    Told,
)
from chaos.stack import MODEL

_ANSWER_S = 60.0
_PAUSE_S = 0.2


class Source(NamedTuple):
    """A picture as a job names it, and the sha256 of its bytes ('' when nobody knows)."""

    member: dict[str, str]
    sha256: str = ""


def inline(picture: bytes) -> Source:
    return Source({"base64": b64encode(picture).decode()}, _sha256(picture))


@dataclass
class Caller:
    """One tenant with its key; may be shared by threads.

    Attributes:
        tenant: its name.
        url: says where the server is.
        key: the API key's text.
        history: is told everything.
    """

    tenant: str
    url: Callable[[], str]
    key: str
    history: History

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.Client(timeout=_ANSWER_S, limits=limits, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def upload(self, picture: bytes, patience_s: float = 60) -> Source:
        """Puts a picture away, however often that must be asked for."""
        end = time.monotonic() + patience_s
        while (answer := self.send("POST", "/v1/uploads", content=picture)) is None or (
            answer.status_code != 201
        ):
            assert time.monotonic() < end, f"no upload was taken: {answer}"
            time.sleep(_PAUSE_S)
        return Source({"upload": answer.json()["id"]}, _sha256(picture))

    def submit(self, *sources: Source, patience_s: float = 60, **members: Any) -> str:
        """A job's id, after as many attempts as it takes; what is refused for good is an error."""
        marker, end = self.new_marker(), time.monotonic() + patience_s
        while (answer := self._post(marker, *sources, **members)) is None or (
            answer.status_code != 202
        ):
            temporary = answer is None or answer.status_code >= 429
            assert temporary, f"{marker}: {answer} {answer.text if answer else ''}"
            assert time.monotonic() < end, f"{marker} was not accepted: {answer}"
            time.sleep(_PAUSE_S)
        return str(answer.json()["id"])

    def new_marker(self) -> str:
        return f"{self.tenant}-{token_hex(8)}"

    def ask(self, marker: str, *sources: Source, **members: Any) -> str | None:
        """Submits once: the job's id, or none when there was another answer, or no answer."""
        answer = self._post(marker, *sources, **members)
        return answer.json()["id"] if answer is not None and answer.status_code == 202 else None

    def _post(self, marker: str, *sources: Source, **members: Any) -> httpx.Response | None:
        delivery = members.get("delivery", {})
        callbacks = sum(name in delivery for name in ("callback", "endpoint"))
        pictures = tuple(source.sha256 for source in sources)
        self.history.note(Asked(self.tenant, marker, pictures, callbacks))
        body = {
            "model": MODEL,
            "images": [{**source.member, "reference": marker} for source in sources],
            "metadata": {"marker": marker},
            **members,
        }
        asked = time.monotonic()
        answer = self.send("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": marker})
        if answer is None or answer.status_code != 202:
            status = 0 if answer is None else answer.status_code
            self.history.note(Refused(self.tenant, marker, status))
        else:
            self.history.note(Accepted(self.tenant, answer.json()["id"], marker))
            self._told(answer.json(), asked)
        return answer

    def read(self, job: str) -> dict[str, Any] | None:
        """How a job stands."""
        return self._ask_about(job, "GET", "")

    def cancel(self, job: str) -> dict[str, Any] | None:
        return self._ask_about(job, "POST", "/cancel")

    def replay(self, job: str) -> dict[str, Any] | None:
        self.history.note(Replaying(self.tenant, job))
        return self._ask_about(job, "POST", "/replay")

    def erase(self, job: str) -> bool:
        """Whether it was told to be erased."""
        self.history.note(Erasing(self.tenant, job))
        answer = self.send("DELETE", f"/v1/jobs/{job}")
        told = answer is not None and answer.status_code == 204
        if told:
            self.history.note(Erasing(self.tenant, job, told=True))
        return told

    def result(self, job: str) -> JobResult | None:
        answer = self.insist("GET", f"/v1/jobs/{job}/result")
        if answer.status_code != 200:
            return None
        found = JobResult.model_validate_json(answer.content)
        self.history.note(_read(self.tenant, job, found, answer.content))
        return found

    def list(self, **filters: str | int) -> list[dict[str, Any]]:
        """All jobs of this tenant, page by page, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            asked = time.monotonic()
            params = {"limit": 200, **filters, **({"cursor": cursor} if cursor else {})}
            answer = self.insist("GET", "/v1/jobs", params=params)
            assert answer.status_code == 200, answer.text
            for job in answer.json()["jobs"]:
                self._told(job, asked)
            found += answer.json()["jobs"]
            cursor = answer.json().get("next_cursor")
        return found

    def send(self, method: str, path: str, **how: Any) -> httpx.Response | None:
        """Any request; None when no answer came."""
        headers = {"Authorization": f"Bearer {self.key}", **how.pop("headers", {})}
        try:
            answer = self._http.request(method, self.url() + path, headers=headers, **how)
        except httpx.TransportError:
            return None
        if _is_blunder(answer):
            line = Blunder(self.tenant, f"{method} {path}: {answer.status_code}")
            self.history.note(line)
        return answer

    def insist(self, method: str, path: str, **how: Any) -> httpx.Response:
        """What is said while no fault is done: a slow machine alone may put it off."""
        end = time.monotonic() + _ANSWER_S
        while (answer := self.send(method, path, **how)) is None or (
            answer.status_code in (429, 503) and time.monotonic() < end
        ):
            assert time.monotonic() < end, f"no answer to {method} {path}"
            time.sleep(_PAUSE_S)
        return answer

    def _ask_about(self, job: str, method: str, path: str) -> dict[str, Any] | None:
        asked = time.monotonic()
        answer = self.send(method, f"/v1/jobs/{job}{path}")
        if answer is not None and answer.status_code == 404:
            self.history.note(Missing(self.tenant, job))
        if answer is None or answer.status_code != 200:
            return None
        self._told(answer.json(), asked)
        told: dict[str, Any] = answer.json()
        return told

    def _told(self, job: dict[str, Any], asked: float) -> None:
        marker = job["metadata"].get("marker", "unmarked")
        line = Told(self.tenant, job["id"], marker, job["state"], asked, time.monotonic())
        self.history.note(line)


def _is_blunder(answer: httpx.Response) -> bool:
    if answer.status_code in (429, 503):
        return "Retry-After" not in answer.headers
    return answer.status_code >= 500


def marker_of(result: JobResult) -> str:
    """The marker that a result bears; all of them when it bears several."""
    markers = {result.metadata.get("marker", "unmarked")}
    markers |= {image.reference or "unmarked" for image in result.images}
    return " ".join(sorted(markers))


def _read(tenant: str, job: str, found: JobResult, content: bytes) -> Result:
    pictures = tuple(
        image.image.sha256 if isinstance(image, ImageSuccess) else "" for image in found.images
    )
    return Result(tenant, job, marker_of(found), found.job, pictures, _sha256(content))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
