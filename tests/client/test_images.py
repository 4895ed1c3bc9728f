"""What callers give as images, and what they learn when it is none."""

from __future__ import annotations

import array
import asyncio
import base64
import gzip
import io
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxyard_producer import AsyncClient, Client
from boxyard_producer.client.images import LocalImage, place, refer
from boxyard_schemas import new_id
from boxyard_schemas.errors import InvalidRequest, TooLarge

from .conftest import Reply, ScriptedServer

JPEG = b"\xff\xd8\xff\xe0 not a whole one \xfb\xff\xfe"
LARGE = JPEG + bytes(200_000)
"""Too large to travel in a job's request."""
Submit = Callable[..., Any]


def uploaded() -> Reply:
    return Reply(201, {"id": new_id("upl"), "bytes": 4, "sha256": "0" * 64})


def accepted() -> Reply:
    body = {
        "id": new_id("job"),
        "model": "m",
        "state": "queued",
        "images": {"total": 1},
        "created_at": "2026-11-21T06:00:00Z",
    }
    return Reply(202, body)


def problem(status: int, code: str, **more: Any) -> Reply:
    document = {"title": "T", "status": status, "code": code, "detail": "Why.", **more}
    return Reply(status, document)


@pytest.fixture(params=["blocking", "asyncio"])
def submit(request: pytest.FixtureRequest, server: ScriptedServer) -> Submit:
    def blocking(images: Any) -> Any:
        with Client(server.url, "k") as client:
            return client.submit("m", images)

    async def awaited(images: Any) -> Any:
        async with AsyncClient(server.url, "k") as client:
            return await client.submit("m", images)

    return blocking if request.param == "blocking" else lambda images: asyncio.run(awaited(images))


def _encoded(data: bytes = JPEG) -> str:
    return base64.b64encode(data).decode()


def _name(value: object) -> str:
    """A test's name, the same in every process: a memory's or a file's text has its address."""
    return str(value)[:30] if isinstance(value, str | bytes | dict | Path) else type(value).__name__


@pytest.mark.parametrize(
    "image",
    [
        JPEG,
        bytearray(JPEG),
        memoryview(JPEG),
        memoryview(JPEG * 2)[: len(JPEG)],
        f"data:image/jpeg;base64,{_encoded()}",
        f"DATA:image/jpeg;charset=x;base64,{_encoded()}\n",
        f"data:;base64,{base64.urlsafe_b64encode(JPEG).decode().rstrip('=')}",
        "data:image/jpeg;base64," + _encoded().replace("+", "%2B").replace("/", "%2F"),
    ],
    ids=_name,
)
def test_content_in_memory_is_sent_as_it_is(
    submit: Submit, server: ScriptedServer, image: Any
) -> None:
    server.will_answer(accepted())
    submit(image)
    (sent,) = json.loads(server.asked[0].body)["images"]
    assert base64.b64decode(sent["base64"]) == JPEG


def test_the_small_images_of_a_job_travel_in_its_request_and_the_others_are_uploaded(
    submit: Submit, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {"a.jpg": JPEG, "b.jpg": JPEG * 8000, "c.jpg": JPEG + bytes(100_000), "d.jpg": JPEG}
    for name, content in contents.items():
        Path(name).write_bytes(content)
    server.will_answer(uploaded(), uploaded(), accepted())
    with Path("d.jpg").open("rb") as file:
        submit(["a.jpg", "b.jpg", Path("c.jpg"), contents["c.jpg"], file])
    assert [each.path for each in server.asked] == ["/v1/uploads", "/v1/uploads", "/v1/jobs"]
    assert [each.body for each in server.asked[:2]] == [contents["b.jpg"], contents["c.jpg"]]
    sent = json.loads(server.asked[2].body)["images"]
    assert [sorted(each) for each in sent] == [
        ["base64", "reference"],
        ["reference", "upload"],
        ["base64", "reference"],
        ["upload"],
        ["base64", "reference"],
    ]
    for name, image in zip(("a.jpg", "c.jpg", "d.jpg"), sent[::2], strict=True):
        assert base64.b64decode(image["base64"]) == contents[name]
        assert image["reference"] == name


def test_what_begins_like_no_image_is_left_to_the_server_to_name(
    submit: Submit, server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    server.will_answer(problem(422, "invalid-request"))
    with pytest.raises(InvalidRequest, match=r"a\.jpg: Why\."):
        submit(tmp_path / "a.jpg")
    assert server.asked[0].body == b"<html>"


@pytest.mark.parametrize(
    "image",
    [
        {"url": "https://p.example/a.jpg"},
        "S3://bucket/a.jpg",
        {"s3": "s3://bucket/a.jpg", "reference": "a"},
        {"upload": f"upl_{'0' * 32}"},
        {"base64": _encoded()},
        {"base64": _encoded().encode()},
        "  https://p.example/a.jpg\n",
    ],
    ids=str,
)
def test_a_source_is_an_object_a_dict_or_text(
    submit: Submit, server: ScriptedServer, image: Any
) -> None:
    server.will_answer(accepted())
    submit(image)
    (sent,) = json.loads(server.asked[0].body)["images"]
    assert sent.keys() <= {"url", "s3", "upload", "base64", "reference"}


def test_uploads_are_refused_by_the_name_of_the_file(
    submit: Submit, server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "large.jpg").write_bytes(LARGE)
    server.will_answer(problem(413, "too-large"), problem(422, "invalid-request"))
    with pytest.raises(TooLarge, match=r"large\.jpg: Why\."):
        submit(tmp_path / "large.jpg")
    with pytest.raises(InvalidRequest, match=r"bytes: Why\."):
        submit(LARGE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with things that are no images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(JPEG)
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("missing.jpg", "No such file or directory.*'missing.jpg'"),
        ("images/a.jpg/b.jpg", "Not a directory.*'images/a.jpg/b.jpg'"),
        ("dangling.jpg", "No such file.*'dangling.jpg'"),
        ("loop.jpg", "symbolic links.*'loop.jpg'"),
        ("images", "is a directory: give the images in it.*rglob.*'images'"),
        (Path("images"), "is a directory.*'images'"),
        ("pipe.jpg", "is a pipe.*'pipe.jpg'"),
        ("socket.jpg", "a socket.*'socket.jpg'"),
        ("/dev/null", "a device.*'/dev/null'"),
        ("empty.jpg", r"empty.jpg: the file is empty \(0 bytes\)"),
        (" a.jpg\n", r"ends with a space or a line break.*' a.jpg\\+n'"),
        (Path("https://p.example/a.jpg"), "a URL is given as text.*'https:/p.example/a.jpg'"),
        ("https:/p.example/a.jpg", "has two slashes"),
        ("", "no path"),
        ("a\0b.jpg", r"a\\+x00b.jpg' is no path"),
        (str(JPEG), "this is bytes written as text"),
        (_encoded(JPEG * 9), "if this is base64, give base64.b64decode"),
        (_encoded(JPEG * 4000), "if this is base64, give base64.b64decode"),
        (base64.encodebytes(JPEG * 90).decode(), "if this is base64, give base64.b64decode"),
        ("x" * 5000 + ".jpg", r"File name too long.*\(5004 characters\)"),
        ("htp://p.example/a.jpg", "did you mean http://"),
        ("htps://p.example/a.jpg", "did you mean https?://"),
        ("httpss://p.example/a.jpg", "did you mean https://"),
        ("gs://bucket/a.jpg", "cannot be read by gs://.*signed https URL"),
        ("abfss://c@a.dfs.core.windows.net/a.jpg", "cannot be read by abfss://"),
        ("ftp://p.example/a.jpg", "ftp://"),
        ("file:///srv/my%20images/a.jpg", "give the path itself, /srv/my images/a.jpg"),
        ("https://", "https://: url.*valid URL"),
        ("s3://bucket", "s3://bucket: an image in a bucket is s3://BUCKET/KEY"),
        ("data:image/jpeg;base64", "a comma before its content"),
        ("data:image/jpeg;base64,a.jpg", "is not base64"),
        ("data:image/jpeg;base64,", r"it is empty \(0 bytes\)"),
        (b"", r"an image given as bytes: it is empty \(0 bytes\)"),
        (bytearray(), "it is empty"),
        (io.BytesIO(), "no bytes after its position: is a `seek.0.` missing"),
        ({"url": "ftp://p.example/"}, "an image source: .*scheme should be 'https' or 'http'"),
        ({"path": "a.jpg"}, "exactly one of url, base64, s3 or upload"),
        ({}, "exactly one of url, base64, s3 or upload"),
    ],
    ids=_name,
)
def test_what_is_no_image_is_named_in_a_short_line(
    submit: Submit, server: ScriptedServer, folder: Path, image: Any, said: str
) -> None:
    with pytest.raises((InvalidRequest, OSError), match=said) as caught:
        submit([JPEG, image])
    assert len(str(caught.value)) < 500
    assert len(str(caught.value).splitlines()) == 1
    assert server.asked == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(submit: Submit, folder: Path) -> None:
    (folder / "images" / "a.jpg").chmod(0)
    with pytest.raises(PermissionError, match=r"see its mode.*a\.jpg"):
        submit("images/a.jpg")


class _Upload:
    """Like the files that web frameworks hand over."""

    name = "a.jpg"

    async def read(self) -> bytes:
        return JPEG


def test_a_file_of_another_kind_is_named(submit: Submit, folder: Path) -> None:
    with pytest.raises(TypeError, match=r"await file\.read"):
        submit(_Upload())
    with Path("images/a.jpg").open("rb") as file:
        pass
    with pytest.raises(InvalidRequest, match=r"images/a\.jpg is closed"):
        submit(file)
    with pytest.raises(TypeError, match="not array; encode"):
        submit([array.array("B", JPEG)])


class _Stream:
    """Of a library whose streams can do nothing but read."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def test_an_open_file_without_a_name_has_no_reference() -> None:
    file: Any = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(JPEG)))
    found = place(file)
    assert isinstance(found, LocalImage)
    assert (found.reference, found.name) == (None, "the open GzipFile")


def test_a_stream_that_can_only_be_read_is_sent(server: ScriptedServer) -> None:
    found = place(_Stream(JPEG))  # type: ignore[arg-type]
    assert isinstance(found, LocalImage)
    assert not isinstance(found.content, bytes)
    assert not found.content.repeatable


def test_equal_base_names_stay_apart_in_one_job(
    submit: Submit, server: ScriptedServer, folder: Path
) -> None:
    paths = [Path(name) for name in ("a/1.jpg", "b/1.jpg", "./c/1.jpg")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(JPEG)
    server.will_answer(accepted())
    submit([*paths[:2], "./c/1.jpg"])
    images = json.loads(server.asked[-1].body)["images"]
    assert [image["reference"] for image in images] == ["a/1.jpg", "b/1.jpg", "c/1.jpg"]


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("a//1.jpg", "a/1.jpg"),
        ("/abs/1.jpg", "/abs/1.jpg"),
        ("link/../1.jpg", "link/../1.jpg"),
        ("../1.jpg", "../1.jpg"),
        (r"a\1.jpg", r"a\1.jpg"),
    ],
)
def test_a_reference_is_the_path_as_pathlib_writes_it(path: str, reference: str) -> None:
    assert refer(path) == reference


def test_released_memory_is_an_error_about_its_image_alone() -> None:
    memory = memoryview(b"an image")
    memory.release()
    with pytest.raises(InvalidRequest, match="released memoryview"):
        place(memory)


def test_a_reference_holds_the_names_that_utf_8_cannot(submit: Submit) -> None:
    assert refer(os.fsdecode(b"caf\xe9/1.jpg")) == r"caf\xe9/1.jpg"


@given(st.lists(st.text(st.characters(exclude_characters="\0/"), min_size=1), min_size=1))
def test_a_reference_of_any_path_fits_the_contract(parts: list[str]) -> None:
    path = "/".join(parts)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return  # no path of this machine
    reference = refer(path)
    assert 1 <= len(reference) <= 256
    reference.encode()


def test_long_paths_that_end_alike_have_references_of_their_own() -> None:
    names = [f"{number}/" + "deep/" * 60 + "1.jpg" for number in range(100)]
    assert len({refer(name) for name in names}) == 100


@settings(max_examples=100)
@given(st.one_of(st.text(), st.text(st.sampled_from("ab/:.,;%+=\n data:htps3"), max_size=40)))
def test_any_text_is_an_image_or_a_short_error(text: str) -> None:
    said = ""
    try:
        place(text)
    except (InvalidRequest, OSError) as error:
        said = str(error)
    assert len(said) < 1000
