"""GET without surprises and POST without redirects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Self

import httpcore
import httpx

from boxyard_schemas.errors import Permanent, Retryable
from boxyard_schemas.words import utc_now

from ..compression import check_size, decompressed
from .deadline import deadline
from .limits import AnswerLimits, limited_to
from .network import CheckedNetwork, Resolver, resolve
from .retry_after import read_retry_after
from .settings import EgressSettings
from .target import follow, read_target

MAX_REDIRECTS = 3
_AGAIN = frozenset({408, 425, 429, *range(500, 600)})
_DRAIN_BYTES, _DRAIN_CHUNKS, _DRAIN_S = 4096, 8, 0.2
_OWN_HEADERS = {"User-Agent": "Boxyard", "Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Response:
    """What a receiver answered; its body is nobody's business."""

    status: int
    headers: Mapping[str, str]


class Egress:
    """Requests to addresses that callers named. Thread-safe; keeps connections.

    Proxies and netrc of the environment are not read. Certificates are checked against the
    system's store, certifi's, and `SSL_CERT_FILE`.

    Args:
        settings: what may be reached.
        resolver: looks names up.
    """

    def __init__(self, settings: EgressSettings, resolver: Resolver = resolve) -> None:
        self._ports = settings.allowed_ports
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpcore.default_ssl_context(),
            network_backend=CheckedNetwork(settings.policy(), resolver),
            max_connections=None,
            max_keepalive_connections=32,
            keepalive_expiry=15,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the idle connections."""
        self._pool.close()

    def fetch(self, url: str, *, max_bytes: int, deadline_s: float) -> bytes:
        """Gets the bytes behind a URL, following up to three redirects, each one checked.

        Args:
            url: http or https.
            max_bytes: cap on the body, before and after decompression, which its content decides.
            deadline_s: seconds for everything together.

        Raises:
            Permanent: `address-denied`, `status-404` and other refusals, `too-large`,
                `too-many-redirects`, `fetch-encoding`.
            Retryable: `fetch-failed` on the network's failures, `status-503` and its like, with
                what the server asked for as `retry_after_s` in its data.
        """
        with _translated("fetch-failed"), deadline(deadline_s):
            target = read_target(url, self._ports)
            for _ in range(MAX_REDIRECTS + 1):
                with (
                    limited_to(max_bytes) as limits,
                    self._stream("GET", target, {}) as answer,
                ):
                    if not _redirects(answer):
                        return _body(answer, limits, max_bytes)
                    target = follow(target, _header(answer, "location"), self._ports)
        raise Permanent("too-many-redirects", f"more than {MAX_REDIRECTS} redirects")

    def post(
        self, url: str, content: bytes, headers: Mapping[str, str], deadline_s: float
    ) -> Response:
        """Posts bytes; a redirect is an answer like any other.

        Raises:
            Permanent: `address-denied`.
            Retryable: `post-failed`: no answer came.
        """
        with (
            _translated("post-failed"),
            deadline(deadline_s),
            limited_to(_DRAIN_BYTES),
            self._stream("POST", read_target(url, self._ports), headers, content) as answer,
        ):
            _drain(answer)
        return Response(answer.status, _headers(answer))

    @contextmanager
    def _stream(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | None = None
    ) -> Iterator[httpcore.Response]:
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        sent = [("Host", url.netloc.decode()), *_OWN_HEADERS.items(), *headers.items()]
        with self._pool.stream(method, target, headers=sent, content=content) as answer:
            yield answer


@contextmanager
def _translated(reason: str) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise Retryable(reason, str(error) or "no answer in time") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise Retryable(reason, str(error) or type(error).__name__) from error


def _headers(answer: httpcore.Response) -> dict[str, str]:
    return {name.lower().decode("ascii"): value.decode("latin-1") for name, value in answer.headers}


def _header(answer: httpcore.Response, name: str) -> str:
    return _headers(answer).get(name, "").strip()


def _redirects(answer: httpcore.Response) -> bool:
    return answer.status in (301, 302, 303, 307, 308) and _header(answer, "location") != ""


def _body(answer: httpcore.Response, limits: AnswerLimits, max_bytes: int) -> bytes:
    reason = f"status-{answer.status}"
    if answer.status in _AGAIN:
        wish = read_retry_after(_headers(answer), utc_now())
        asked = "" if wish is None else f" and asked to be tried again in {wish:.0f} s"
        raise Retryable(reason, f"the server answered {answer.status}{asked}", retry_after_s=wish)
    if not 200 <= answer.status < 300:
        raise Permanent(reason, f"the server answered {answer.status}")
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        raise Permanent(reason, "the server answered 206, with a part of what was asked for")
    declared = _header(answer, "content-length")
    check_size(int(declared) if declared.isdecimal() else 0, max_bytes)
    body = bytearray()
    for chunk in limits.chunks(answer.iter_stream()):
        body += chunk
        check_size(len(body), max_bytes)
    return decompressed(bytes(body), max_bytes, _header(answer, "content-encoding"))


def _drain(answer: httpcore.Response) -> None:
    # A short body read to its end keeps the connection; a long or slow one is not worth it.
    read = 0
    broken = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
    with suppress(*broken), deadline(_DRAIN_S):
        for chunk in islice(answer.iter_stream(), _DRAIN_CHUNKS):
            read += len(chunk)
            if read > _DRAIN_BYTES:
                return
