"""Requests as callers, scanners and broken programs send them: valid, nearly valid, and junk."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from boxyard_schemas import DEMO_MODEL, new_id

PICTURE = base64.b64encode(b"\xff\xd8\xff not really a picture").decode()
JSON = "application/json"

ODD_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "\ud800",
        "\udfff\ud800",
        "\r\nX: y",
        "\U0001d54f" * 40,
        "\u202e",
        "\ufb00",
    ),
    *("a" * 5000, "../../etc/passwd", "%00", "job_" + "0" * 32, "null", "{{7*7}}", "'; --", "*"),
)
ODD_NUMBERS = (
    *("0", "-0", "-1", "0.5", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "-Infinity"),
    *("9" * 30, "-" + "9" * 30, "9" * 5000, "2147483648", "9223372036854775808", "0.1e+1"),
)
ODD_JSON = (
    *("null", "true", "[]", "{}", "[[]]", '""', "[null]", '{"":{}}', "[" * 200 + "]" * 200),
    *("[" * 20_000, '{"a":' * 20_000, '"\\ud800"', '"\\u0000"', '{"a":1,"a":2}'),
    *ODD_NUMBERS,
)
ODD_URLS = (
    *("http://", "https://[", "https://[::1%25eth0]/", "https://a.example:99999/", "ftp://a/"),
    *(
        "https://a.example/\ud800",
        "https://\u2100.example/",
        "https://\uff4cocalhost/",
        "http://0x7f.1/",
    ),
    *("https://user:pass@a.example/", "https://a.example/\r\nX: y", "https://" + "a." * 3000),
    *(
        "https://xn--a/",
        "https://a..b/",
        "http:///x",
        "https://a.example/" + "%" * 10,
        "//a.example",
    ),
)
ODD_PATHS = (
    *("/", "//", "/v1", "/v1/", "/v1//jobs", "/v1/jobs/", "/%2e%2e/%2e%2e/etc/passwd", "/..", "*"),
    *("/v1/jobs/../../x", "/v1/jobs/%00", "/v1/jobs/%ff%fe", "/v1/jobs/" + "a" * 8000, "/;/?#"),
    *("/v1/models/%F0%9D%95%8F", "/v1/models/..%2f..", "/openapi.json", "/docs", "/metrics"),
    *("/v1/jobs/%0d%0aX:%20y", "/v1/endpoints/%2e%2e", "/favicon.ico", "/v1/jobs?", "/score/"),
    *("/readyz", "/healthz", "http://other.example/v1/jobs", "/v1/jobs/\x7f", "/%", "/%u0000"),
)
ODD_METHODS = (
    *("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"),
    *("X" * 300, "M-SEARCH", "_"),
)
ODD_TYPES = (
    *(None, "", "text/plain", "application/xml", "multipart/form-data; boundary=x", "image/jpeg"),
    *("application/json; charset=utf-16", "APPLICATION/JSON", "application/problem+json", ";", "a"),
    *("application/x-www-form-urlencoded", "application/json, text/html", "json", "x/y; q=\xe9"),
)
ODD_HEADERS = (
    *("Accept: \xff", "Range: bytes=0-", "Expect: 100-continue", "Cookie: a=\xe9; b", "TE: gzip"),
    *("Traceparent: 00-" + "0" * 32, "Traceparent: \xff", "X-HTTP-Method-Override: DELETE"),
    *("Idempotency-Key: ", "Idempotency-Key: " + "k" * 256, "Idempotency-Key: \xff\xfe"),
    *(
        "If-None-Match: *",
        "Upgrade: websocket",
        "Connection: upgrade",
        "Host: y",
        "X:",
        "Origin: x",
    ),
    *("Content-Encoding: gzip", "Content-Encoding: br, gzip", "Content-Length: 3", "X-API-Key: k"),
    *("Forwarded: for=\xe9", "Accept-Language: " + "x," * 500, "X" * 500 + ": y"),
)
ODD_QUERIES = (
    *("limit=0", "limit=-1", "limit=" + "9" * 40, "limit=1.5", "limit=", "cursor=x", "cursor=%00"),
    *(
        "wait=nan",
        "wait=inf",
        "wait=-inf",
        "wait=1e999",
        "wait=-1",
        "wait=x",
        "state=",
        "state=%ff",
    ),
    *("cursor=job_" + "f" * 32, "cursor=" + "a" * 300, "model=%00", "model=" + "a" * 5000, "&&=&"),
    *(
        "limit=1&limit=x",
        "state=queued&state=dead",
        "a" * 4000,
        "%",
        "limit=%EF%BC%91",
        "wait=\uff11",
    ),
)
BROKEN = (
    *(
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 50,
    ),
    *(
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ),
    *(b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
)


@dataclass
class Ask:
    """One request, not yet bytes."""

    method: str
    path: str
    body: bytes = b""
    kind: str | None = JSON
    headers: list[str] = field(default_factory=list)
    authorization: str | None = None

    def encoded(self, key: str, *, chunked: bool = False) -> bytes:
        """On the wire, with the key unless it brings an authorization of its own."""
        authorization = f"Bearer {key}" if self.authorization is None else self.authorization
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: x"]
        lines += [f"Authorization: {authorization}"] if authorization else []
        lines += [f"Content-Type: {self.kind}"] if self.kind is not None and self.body else []
        lines += self.headers
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(self.body)}"
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(framing)
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", errors="replace")
        return head + (_chunks(self.body) if chunked and framing in lines else self.body)


def _chunks(body: bytes) -> bytes:
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"


class Junk:
    """Endless requests, the same for the same seed; it learns real ids from the answers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.ids: dict[str, list[str]] = {kind: [] for kind in ("job", "upl", "end", "key", "dlv")}

    def next(self) -> tuple[str, Ask | bytes]:
        """A request and what sort it is of."""
        kinds: tuple[tuple[str, int, Callable[[], Ask | bytes]], ...] = (
            ("valid", 30, self.valid),
            ("nearly", 35, self.nearly),
            ("bytes", 15, self.mangled),
            ("odd", 17, self.odd),
            ("broken", 3, self.broken),
        )
        name, _, make = self._random.choices(kinds, [weight for _, weight, _ in kinds])[0]
        return name, make()

    def chance(self, share: float) -> bool:
        """True in this share of calls."""
        return self._random.random() < share

    def valid(self) -> Ask:
        """What the contract allows."""
        job, pick = self._id("job"), self._random.choice
        return pick(
            (
                lambda: self._posting("/v1/jobs", self._job()),
                lambda: self._posting("/v1/jobs", self._job()),
                lambda: self._posting("/score", self._frame()),
                lambda: self._posting("/v1/endpoints", {"url": "https://a.example/hook"}),
                lambda: self._posting("/v1/keys", {"name": "k", "scopes": ["read"]}),
                lambda: Ask("POST", "/v1/uploads", b"\xff\xd8\xff picture", "image/png"),
                lambda: Ask("GET", f"/v1/jobs?limit={self._random.randint(1, 300)}&state=queued"),
                lambda: Ask("GET", f"/v1/jobs/{job}?wait=0.01"),
                lambda: Ask("GET", f"/v1/jobs/{job}/result"),
                lambda: Ask("GET", f"/v1/jobs/{job}/deliveries"),
                lambda: Ask("POST", f"/v1/jobs/{job}/{pick(('cancel', 'replay'))}"),
                lambda: Ask("DELETE", f"/v1/jobs/{job}"),
                lambda: Ask("DELETE", f"/v1/endpoints/{self._id('end')}"),
                lambda: Ask("DELETE", f"/v1/keys/{self._id('key')}"),
                lambda: Ask("GET", pick(("/v1/endpoints", "/v1/keys", "/v1/models", "/readyz"))),
                lambda: Ask("GET", f"/v1/models/mmd-3x-{DEMO_MODEL}"),
                lambda: Ask("GET", "/v1/deliveries?state=exhausted"),
                lambda: Ask("POST", f"/v1/deliveries/{self._id('dlv')}/replay"),
            )
        )()

    def nearly(self) -> Ask:
        """Valid but for one thing, somewhere."""
        pick = self._random.choice
        path, value = pick(
            (
                ("/v1/jobs", self._job()),
                ("/v1/jobs", self._job()),
                ("/score", self._frame()),
                ("/v1/endpoints", {"url": "https://a.example/", "events": ["job.dead"]}),
                (f"/v1/endpoints/{self._id('end')}", {"url": "https://a.example/"}),
                ("/v1/keys", {"name": "k", "scopes": ["read"], "expires_in_s": 5}),
                (f"/v1/keys/{self._id('key')}/rotate", {"overlap_s": 1}),
                ("/v1/deliveries/replay", {"endpoint": self._id("end")}),
            )
        )
        method = "PATCH" if path.startswith("/v1/endpoints/") else "POST"
        return Ask(method, path, self._spoiled(value))

    def mangled(self) -> Ask:
        """A valid body, its bytes cut, flipped, doubled or zipped."""
        ask = self._posting(self._random.choice(("/v1/jobs", "/score")), self._job())
        body = bytearray(ask.body)
        at = self._random.randrange(len(body))
        match self._random.randrange(6):
            case 0:
                del body[at:]
            case 1:
                body[at] ^= 1 << self._random.randrange(8)
            case 2:
                body[at:at] = self._random.randbytes(self._random.randint(1, 20))
            case 3:
                body += bytes(body)
            case 4:
                body[:] = gzip.compress(bytes(body))
                ask.headers.append("Content-Encoding: gzip")
            case 5:
                body[:] = bytes(body).decode().encode(self._random.choice(("utf-16", "utf-8-sig")))
        ask.body = bytes(body)
        return ask

    def odd(self) -> Ask:
        """A valid request with a path, method, query or header that nobody expects."""
        ask, pick = self.valid(), self._random.choice
        match self._random.randrange(6):
            case 0:
                ask.path = pick(ODD_PATHS)
            case 1:
                ask.method = pick(ODD_METHODS)
            case 2:
                ask.path = f"{ask.path.partition('?')[0]}?{pick(ODD_QUERIES)}"
            case 3:
                ask.headers += self._random.sample(ODD_HEADERS, self._random.randint(1, 3))
            case 4:
                ask.kind = pick(ODD_TYPES)
            case 5:
                ask.authorization = pick(
                    (
                        "",
                        "Bearer",
                        "Bearer \xff",
                        "Basic eDp5",
                        f"Bearer {'k' * 5000}",
                        "Bearer a b",
                    )
                )
        ask.path = ask.path.replace("\x7f", "%7f") if self.chance(0.9) else ask.path
        ask.path = quote(ask.path, safe="/?&=%:;#*+,.-_~")
        return ask

    def broken(self) -> bytes:
        """No HTTP request at all, or hardly one."""
        if self.chance(0.3):
            return self._random.randbytes(self._random.randint(1, 400))
        return self._random.choice(BROKEN)

    def _job(self) -> dict[str, Any]:
        picture = self._random.choice(
            (
                {"url": "https://a.example/1.jpg"},
                {"base64": PICTURE, "reference": "r"},
                {"upload": self._id("upl")},
                {"s3": "s3://bucket/key"} if self.chance(0.2) else {"url": "http://b.example/"},
            )
        )
        job: dict[str, Any] = {"model": DEMO_MODEL, "images": [picture]}
        extras: dict[str, Any] = {
            "parameters": {"score_threshold": 0.5, "masks": "rle", "max_detections": 7},
            "delivery": {"callback": {"url": "https://a.example/hook"}},
            "priority": self._random.choice(("high", "normal", "low")),
            "expires_in_s": 3600,
            "metadata": {"shelf": "7"},
        }
        return job | {name: each for name, each in extras.items() if self.chance(0.3)}

    def _frame(self) -> dict[str, Any]:
        rows = self._random.choice(([PICTURE], [[PICTURE]], ["https://a.example/1.jpg"]))
        return {"input_data": {"columns": ["image"], "index": [0], "data": rows}, "params": {}}

    def _posting(self, path: str, value: dict[str, Any]) -> Ask:
        ask = Ask("POST", path, json.dumps(value).encode())
        if self.chance(0.3):
            ask.headers.append(f"Idempotency-Key: {self._random.randrange(200)}")
        return ask

    def _spoiled(self, value: dict[str, Any]) -> bytes:
        """The value as JSON, one of its nodes replaced, left out, doubled or renamed."""
        text, marker = json.dumps(value), json.dumps("\x01here")
        holder = self._random.choice(_holders(value))
        name = self._random.choice(list(holder))
        was = holder[name]
        match self._random.randrange(5):
            case 0:
                del holder[name]
                return json.dumps(value).encode()
            case 1:
                holder[self._random.choice(ODD_TEXTS)] = was
                return json.dumps(value).encode()
            case 2:
                # A member given twice: the text of the object, once more within itself.
                return (text[:-1] + "," + text[1:]).encode()
        holder[name] = "\x01here"
        odd = self._random.choice((*ODD_JSON, *map(json.dumps, (*ODD_TEXTS, *ODD_URLS))))
        return json.dumps(value).replace(marker, odd).encode()

    def _id(self, kind: str) -> str:
        known = self.ids[kind]
        if known and self.chance(0.8):
            return self._random.choice(known[-50:])
        return new_id("job").replace("job_", f"{kind}_")


def _holders(value: Any) -> list[dict[str, Any]]:
    """Every object within a value that has members."""
    if isinstance(value, list):
        return [holder for each in value for holder in _holders(each)]
    if not isinstance(value, dict) or not value:
        return []
    return [value, *(holder for each in value.values() for holder in _holders(each))]
