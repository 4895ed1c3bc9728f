"""What a JSON body may be on every route, and how what is not JSON is named."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyard_producer.server.json_text import read_json
from boxyard_schemas import DEMO_MODEL
from boxyard_schemas.errors import InvalidRequest

from .test_jobs import URL, problem

JSON = {"Content-Type": "application/json"}
JOB = {"model": DEMO_MODEL, "images": [{"url": URL}]}
ROUTES: dict[str, Any] = {
    "/v1/jobs": JOB,
    "/v1/endpoints": {"url": "https://example.com/hook"},
    "/v1/keys": {"name": "second", "scopes": ["read"]},
    "/v1/deliveries/replay": {},
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(values, st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_any_json_is_read_as_it_was_written(value: Any, ascii_only: bool, mark: bytes) -> None:
    assert read_json(mark + json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200) | st.text('{}[]",:\\u d8\n1e-NaInfty').map(str.encode))
def test_anything_else_is_refused_in_one_sentence(data: bytes) -> None:
    try:
        read_json(data)
    except InvalidRequest as error:
        assert len(error.detail) < 300  # noqa: PT017
        error.problem().model_dump_json()


def test_a_byte_order_mark_is_passed_over_on_every_route(api: httpx.Client) -> None:
    for path, body in ROUTES.items():
        content = b"\xef\xbb\xbf" + json.dumps(body).encode()
        assert api.post(path, content=content, headers=JSON).is_success, path


@pytest.mark.parametrize("path", [*ROUTES, "/score"])
@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b'{"a": 1, "a": 2}', "a", "more than once"),
        (b'{"parameters": {"score_threshold": NaN}}', "parameters.score_threshold", "NaN"),
        ('{"a": 1}'.encode("utf-16"), "body", "UTF-16"),
        (b'{"a": 1,}', "body", "a comma follows the last member or item (line 1, column "),
        (b"model=x&images=y", "body", "this is a URL-encoded form, not JSON"),
        (b"  \n", "body", "it is empty; send a JSON object"),
    ],
)
def test_what_is_not_json_is_named_on_every_route(
    api: httpx.Client, path: str, content: bytes, where: str, what: str
) -> None:
    answer = api.post(path, content=content, headers=JSON)
    (found,) = problem(answer, 422, "invalid-request")["errors"]
    assert found["where"] == where
    assert what in found["what"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/endpoints", "/v1/keys", "/score"])
@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
def test_an_empty_body_and_a_form_are_told_what_to_send(
    api: httpx.Client, path: str, media_type: str
) -> None:
    for content in (b"", b"model=x"):
        answer = api.post(path, content=content, headers={"Content-Type": media_type})
        detail = str(problem(answer, 422, "invalid-request")["detail"])
        assert "JSON" in detail
        assert detail.count("body: ") == 1


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"a": {"b": [1, -Infinity]}}', "a.b.1: NaN, Infinity and numbers beyond"),
        (b'{"a": 1e999}', "a: NaN, Infinity and numbers beyond"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a: NaN, Infinity and numbers beyond"),
        (b"NaN", "body: NaN, Infinity"),
        (b'{"x": [{"a": 1, "b": 2, "a": 1}]}', "x.0.a: this member stands here more than once"),
        (rb'{"a": "\ud800"}', "a: half of a surrogate pair"),
        (rb'{"a": ["x", "\udc00\ud800"]}', "a.1: half of a surrogate pair"),
        (rb'{"x": {"\ud800": 1}}', "x: the name of a member has half of a surrogate pair"),
        ('{"a": 1}'.encode("utf-32"), "body: this is written in UTF-32"),
        ('{"ä": 1}'.encode("latin-1"), "body: this is JSON; JSON is sent in UTF-8, and byte 2"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "body: this is a JPEG image; JSON is sent in UTF-8"),
        (b"\xef\xbb\xbf" * 2 + b"{}", "body: it begins with two byte order marks"),
        (b"<html></html>", "body: this is an HTML page, not JSON"),
        (b"{'a': 1}", "double quotes (line 1, column 2)"),
        (b"{a: 1}", "double quotes (line 1, column 2)"),
        (b'[{"a": 1}\n{"a": 2}]', "a comma is missing (line 2, column 1)"),
        (b'{"a" 1}', "a colon is missing (line 1, column 6)"),
        (b'{"a": }', "a value is missing (line 1, column 7)"),
        (b'{"a": [1, 2,\n]}', "a comma follows the last member or item"),
        (b'{"a": "x', "cut off"),
        (b'{"a": [1', "cut off"),
        (b'{"a": True}', "the words are null, true and false"),
        (b'{"a": 1} {"a": 2}', "there is more behind the end of the JSON (line 1, column 10)"),
        (b'{"a": 1 /* one */}', "JSON has no comments"),
        (b'{"a": "x\ny"}', "a line break or another control character"),
        (rb'{"a": "C:\images"}', "a backslash in a text is written as"),
        (b"[" * 15_000, "nested too deeply"),
    ],
)
def test_each_mistake_is_named_where_it_stands(content: bytes, detail: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(content)
    assert detail in caught.value.detail
