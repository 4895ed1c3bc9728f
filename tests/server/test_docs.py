"""The page at `/docs`, which must not need the internet."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx


def test_the_page_and_all_that_it_loads_come_from_the_server(api: httpx.Client) -> None:
    page = api.get("/", follow_redirects=True)
    assert page.url.path == "/docs"
    assert page.headers["content-type"].startswith("text/html")
    found = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(found) >= 4
    for name in found:
        assert "//" not in name
        loaded = api.get(urljoin(str(page.url), name))
        assert loaded.status_code == 200, name
        assert loaded.content


def test_a_browser_that_has_a_file_already_does_not_load_it_again(api: httpx.Client) -> None:
    path = "/docs/assets/swagger-ui.css"
    loaded = api.get(path)
    again = api.get(path, headers={"If-None-Match": loaded.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.head(path).headers["content-length"] == str(len(loaded.content))


def test_the_page_may_load_nothing_from_elsewhere(api: httpx.Client) -> None:
    page = api.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "<script>" not in page.text  # inline scripts would be blocked


def test_the_pages_addresses_are_not_a_way_out_of_its_folder(api: httpx.Client) -> None:
    for path in ("/docs/assets/..%2f__init__.py", "/docs/assets/%2e%2e/core.py", "/docs/assets/"):
        assert api.get(path).status_code == 404
