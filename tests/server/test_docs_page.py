"""The API's own page works where nothing but the server can be reached."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx


class _Assets(HTMLParser):
    """Collects what a page makes the browser load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs).get({"script": "src", "link": "href", "img": "src"}.get(tag, ""))
        if found:
            self.addresses.append(found)


def test_the_root_leads_to_the_docs_page(api: httpx.Client) -> None:
    answer = api.get("/", follow_redirects=True)
    assert answer.url.path == "/docs"
    assert "swagger-ui" in answer.text


def test_the_docs_page_loads_everything_from_this_server(api: httpx.Client) -> None:
    page = api.get("/docs")
    assets = _Assets(page.text).addresses
    assert len(assets) >= 3  # script, style, icon
    for address in assets:
        where = urljoin(str(page.url), address)
        assert httpx.URL(where).host == page.url.host, f"{address} is on another host"
        assert api.get(where).is_success
    assert "https://" not in page.text
    assert "/openapi.json" in page.text
