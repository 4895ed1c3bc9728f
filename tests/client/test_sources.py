"""Pictures that are sent a piece at a time."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from boxyard_producer import AsyncClient, Client
from boxyard_producer.client import Retries
from boxyard_schemas import new_id
from boxyard_schemas.errors import Unavailable

from .conftest import Reply, ScriptedServer

SIZE = 20 * 1024 * 1024
PIECE = 64 * 1024
QUICK = Retries(first_s=0.001)


def uploaded() -> dict[str, Any]:
    return {"id": new_id("upl"), "bytes": 4, "sha256": "0" * 64}


@pytest.fixture(params=["blocking", "asyncio"])
def upload(request: pytest.FixtureRequest, server: ScriptedServer) -> Any:
    def blocking(image: Any) -> Any:
        with Client(server.url, "k", retries=QUICK) as client:
            return client.upload(image)

    async def awaited(image: Any) -> Any:
        async with AsyncClient(server.url, "k", retries=QUICK) as client:
            return await client.upload(image)

    return blocking if request.param == "blocking" else lambda image: asyncio.run(awaited(image))


class Sink(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes what is sent and notes its pieces."""

    def __init__(self, status: int = 201) -> None:
        self.status, self.asked, self.pieces = status, 0, list[int]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.asked += 1
        self.pieces += map(len, request.stream)
        return httpx.Response(self.status, json=uploaded())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.asked += 1
        self.pieces += [len(piece) async for piece in request.stream]
        return httpx.Response(self.status, json=uploaded())


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.tif"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def test_a_large_file_is_never_whole_in_memory(large: Path):
    sink = Sink()
    with Client("http://x", "k", transport=sink) as client, large.open("rb") as file:
        client.upload(large)
        client.upload(file)
    assert max(sink.pieces) == PIECE
    assert sum(sink.pieces) == 2 * SIZE


async def test_nor_is_it_in_an_event_loop(large: Path):
    sink = Sink()
    async with AsyncClient("http://x", "k", transport=sink) as client:
        await client.upload(large)
        with large.open("rb") as file:
            await client.upload(file)
    assert max(sink.pieces) == PIECE
    assert sum(sink.pieces) == 2 * SIZE


def test_an_open_file_is_read_from_where_it_stands_and_stays_open(
    upload: Any, server: ScriptedServer
):
    server.will_answer(Reply(201, uploaded()))
    file = io.BytesIO(b"headerjpeg")
    file.seek(6)
    upload(file)
    assert server.asked[0].body == b"jpeg"
    assert server.asked[0].headers["content-length"] == "4"
    assert not file.closed


@pytest.mark.parametrize("kind", ["path", "file"])
def test_the_whole_picture_is_sent_again(
    upload: Any, server: ScriptedServer, tmp_path: Path, kind: str
):
    path = tmp_path / "yard.jpg"
    path.write_bytes(b"jpeg")
    server.will_answer(
        Reply(503, {"title": "T", "status": 503, "code": "unavailable", "detail": "Why."}),
        None,
        Reply(201, uploaded()),
    )
    with path.open("rb") as file:
        upload(path if kind == "path" else file)
    assert [asked.body for asked in server.asked] == [b"jpeg"] * 3


class Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False


def test_what_cannot_be_read_twice_is_sent_once():
    sink = Sink(status=503)
    client = Client("http://x", "k", retries=QUICK, transport=sink)
    with client, pytest.raises(Unavailable):
        client.upload(Pipe(b"jpeg"))
    assert (sink.asked, sink.pieces) == (1, [4])


async def test_nor_is_it_sent_again_from_an_event_loop():
    sink = Sink(status=503)
    async with AsyncClient("http://x", "k", retries=QUICK, transport=sink) as client:
        with pytest.raises(Unavailable):
            await client.upload(Pipe(b"jpeg"))
    assert (sink.asked, sink.pieces) == (1, [4])


def test_an_open_file_is_named_in_its_job(server: ScriptedServer, tmp_path: Path):
    path = tmp_path / "yard.jpg"
    path.write_bytes(b"jpeg")
    job = {
        "id": new_id("job"),
        "model": "m",
        "state": "queued",
        "images": {"total": 1},
        "created_at": "2026-11-21T06:00:00Z",
    }
    server.will_answer(Reply(201, uploaded()), Reply(202, job))
    with path.open("rb") as file, Client(server.url, "k") as client:
        client.submit("m", file)
    assert f'"reference":"{path}"'.encode() in server.asked[1].body


def test_what_is_no_picture_is_refused_with_what_to_do(
    upload: Any, server: ScriptedServer, tmp_path: Path
):
    path = tmp_path / "yard.jpg"
    path.write_bytes(b"jpeg")
    with path.open() as text, pytest.raises(TypeError, match="mode 'rb'"):
        upload(text)
    with pytest.raises(FileNotFoundError):
        upload(tmp_path / "missing.jpg")
    with pytest.raises(TypeError, match="only a path, an open file or bytes"):
        upload("https://p.example/a.jpg")
    assert server.asked == []


class Odd(io.BytesIO):
    """An open file that says it has another size, or cannot be read."""

    name = "odd.jpg"

    def __init__(self, size: int = 4, fault: Exception | str | None = None) -> None:
        super().__init__(b"four")
        self.size, self.fault = size, fault

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(offset, whence) if whence == 0 else self.size

    def read(self, size: int | None = -1) -> bytes:
        if isinstance(self.fault, Exception):
            raise self.fault
        return cast("bytes", self.fault) if self.fault else super().read(size)


@pytest.mark.parametrize(
    ("size", "fault", "said"),
    [
        (9, None, "its size changed while it was sent"),
        (1, None, "its size changed while it was sent"),
        (4, ValueError("read of closed file"), r"cannot be read \(ValueError: read of"),
        (4, io.UnsupportedOperation("read"), "cannot be read .*: read"),
        (4, KeyError("a library's"), "cannot be read .KeyError"),
        (4, "text", "is open as text"),
    ],
)
def test_a_file_that_cannot_be_sent_whole_is_named(upload: Any, size: int, fault: Any, said: str):
    with pytest.raises(OSError, match=said) as caught:
        upload(Odd(size, fault))
    assert caught.value.filename == "odd.jpg"
