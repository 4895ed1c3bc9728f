"""Files come whole or not at all, from whoever gives them, and nothing is asked for twice."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from boxyard_schemas.errors import SetupError
from boxyard_worker.weights.download import download
from boxyard_worker.weights.lock import hold
from boxyard_worker.weights.settings import WeightsSettings
from boxyard_worker.weights.sources import list_addresses
from boxyard_worker.weights.transfer import Progress
from certificates import certificate_for
from receivers import Answer, Receiver, reset, say
from weights.shelf import Shelf

BODY = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(BODY).hexdigest()[:8]

Fetch = Callable[..., str]


def quiet(done: int, total: int | None) -> None:
    """Nobody looks."""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.pth"


@pytest.fixture
def fetch(target: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Fetches the file from receivers, with few attempts."""
    monkeypatch.setattr("boxyard_worker.weights.transfer._PAUSE_S", 0.01)

    def run(
        *hosts: Receiver, digest: str = DIGEST, progress: Progress = quiet, **limits: float
    ) -> str:
        settings = WeightsSettings(**{"weights_attempts": 2, "weights_timeout_s": 60, **limits})
        addresses = [f"{host.url}/model.pth" for host in hosts]
        return download(addresses, target, digest, settings, progress)

    return run


@pytest.fixture
def host() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers that give these answers."""
    started: list[Receiver] = []

    def start(*answers: Answer, tls: ssl.SSLContext | None = None) -> Receiver:
        started.append(Receiver(*answers, tls=tls))
        return started[-1]

    yield start
    for receiver in started:
        receiver.close()


def left(target: Path) -> list[str]:
    return sorted(each.name for each in target.parent.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside_it(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    server = host(Shelf(BODY))
    assert fetch(server) == f"{server.url}/model.pth"
    assert target.read_bytes() == BODY
    assert left(target) == ["model.pth"]


@pytest.mark.parametrize("version", ['"one"', ""])
def test_after_a_cut_only_what_is_missing_is_asked_for(
    host: Callable[..., Receiver], fetch: Fetch, target: Path, version: str
) -> None:
    shelf = Shelf(BODY, version=version, cuts=(300_000, 200_000))
    server = host(shelf)
    fetch(server)
    assert target.read_bytes() == BODY
    assert shelf.sent == len(BODY)
    asked = [(each.headers.get("range"), each.headers.get("if-range")) for each in server.requests]
    condition = version or None
    assert asked == [
        (None, None),
        ("bytes=300000-", condition),
        ("bytes=500000-", condition),
    ]


def test_what_an_earlier_command_left_is_gone_on_from(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    with pytest.raises(SetupError, match="cannot be fetched"):
        fetch(host(Shelf(BODY, cuts=(300_000,)), say(500)), weights_attempts=1)
    assert left(target) == ["model.pth.part", "model.pth.version"]
    shelf = Shelf(BODY)
    fetch(host(shelf))
    assert target.read_bytes() == BODY
    assert shelf.sent == len(BODY) - 300_000


def test_a_server_without_ranges_starts_again(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    shelf = Shelf(BODY, ranges=False, cuts=(300_000,))
    fetch(host(shelf))
    assert target.read_bytes() == BODY
    assert shelf.sent == len(BODY) + 300_000


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    old = Shelf(BODY[::-1], version='"old"', cuts=(300_000,))
    fetch(host(old, Shelf(BODY, version='"new"')), digest="")
    assert target.read_bytes() == BODY


def test_without_a_digest_another_hosts_beginning_is_not_gone_on_from(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    broken = host(Shelf(BODY[::-1], cuts=(300_000,)), say(404))
    fetch(broken, host(Shelf(BODY)), digest="")
    assert target.read_bytes() == BODY


def test_with_a_digest_a_wrong_beginning_is_found_out_and_dropped(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    broken = host(Shelf(BODY[::-1], cuts=(300_000,)), say(404))
    good = Shelf(BODY)
    fetch(broken, host(good))
    assert target.read_bytes() == BODY
    assert good.sent == 2 * len(BODY) - 300_000


def test_a_part_that_is_already_whole_is_taken(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    target.with_name("model.pth.part").write_bytes(BODY)
    shelf = Shelf(BODY)
    fetch(host(shelf))
    assert shelf.sent == 0


def test_a_part_longer_than_the_file_is_dropped(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    target.with_name("model.pth.part").write_bytes(BODY + b"more")
    fetch(host(Shelf(BODY)))
    assert target.read_bytes() == BODY


BROKEN: dict[str, tuple[Answer, str]] = {
    "not found": (say(404), "404"),
    "forbidden": (say(403), "403"),
    "a range where none was asked for": (say(416), "416"),
    "an error of the server": (say(503), "503"),
    "a web page": (say(200, b"<html>log in</html>", Content_Type="text/html"), "web page"),
    "a page that calls itself a file": (say(200, b"<html>log in</html>"), "sha256"),
    "another file": (Shelf(BODY[::-1]), "sha256 begins with"),
    "nothing": (say(200), "sha256"),
    "a packed file": (say(200, BODY, Content_Encoding="gzip"), "packs"),
    "half": (Shelf(BODY, cuts=(9, *[0] * 9)), "RemoteProtocolError"),
    "another range": (say(206, BODY, Content_Range="bytes 7-9/10"), "another range"),
    "a reset connection": (reset, "ReadError|RemoteProtocolError"),
    "a way in circles": (say(302, Location="/model.pth"), "TooManyRedirects"),
    "a way out of the web": (say(302, Location="file:///etc/passwd"), "UnsupportedProtocol"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_the_file_is_refused_and_the_next_address_asked(
    host: Callable[..., Receiver], fetch: Fetch, target: Path, kind: str
) -> None:
    answer, why = BROKEN[kind]
    with pytest.raises(SetupError, match=why):
        fetch(host(answer))
    assert not target.exists()
    good = host(Shelf(BODY))
    assert fetch(host(answer), good) == f"{good.url}/model.pth"
    assert target.read_bytes() == BODY


def test_a_redirect_is_followed(host: Callable[..., Receiver], fetch: Fetch, target: Path) -> None:
    elsewhere = host(Shelf(BODY))
    fetch(host(say(302, Location=f"{elsewhere.url}/there")))
    assert target.read_bytes() == BODY


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for localhost, and the authority that vouches for it."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = certificate_for("localhost", folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, folder / "key.pem")
    return context, certificate


def fetch_securely(server: Receiver, target: Path) -> str:
    settings = WeightsSettings(weights_attempts=1)
    address = f"https://localhost:{server.port}/model.pth"
    return download([address], target, DIGEST, settings, quiet)


def test_a_host_that_nobody_vouches_for_is_refused(
    host: Callable[..., Receiver], target: Path, secure: tuple[ssl.SSLContext, Path]
) -> None:
    with pytest.raises(SetupError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch_securely(host(Shelf(BODY), tls=secure[0]), target)


def test_no_redirect_leads_from_https_to_http(
    host: Callable[..., Receiver],
    target: Path,
    secure: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure[1]))
    open_to_all = host(Shelf(BODY))
    away = host(say(302, Location=f"{open_to_all.url}/model.pth"), tls=secure[0])
    with pytest.raises(SetupError, match="leads from https to http"):
        fetch_securely(away, target)
    assert open_to_all.requests == []
    fetch_securely(host(Shelf(BODY), tls=secure[0]), target)


def test_a_file_beyond_the_limit_is_refused_before_it_comes(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    with pytest.raises(SetupError, match="BOXYARD_WEIGHTS_MAX_BYTES"):
        fetch(host(Shelf(BODY)), weights_max_bytes=1000)
    assert left(target) == []


def test_a_file_without_a_length_ends_at_the_limit(
    host: Callable[..., Receiver], fetch: Fetch, target: Path
) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(bytes(1 << 16))

    with pytest.raises(SetupError, match="BOXYARD_WEIGHTS_MAX_BYTES"):
        fetch(host(endless), weights_max_bytes=2 << 20)
    assert left(target) == []


def test_a_disk_without_room_says_so_before_anything_comes(
    host: Callable[..., Receiver], fetch: Fetch
) -> None:
    def huge(handler: BaseHTTPRequestHandler) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 60}\r\n\r\n"
        handler.wfile.write(head.encode())

    with pytest.raises(SetupError, match="BOXYARD_WEIGHTS_DIR"):
        fetch(host(huge), weights_max_bytes=1 << 62)


def test_a_download_that_takes_too_long_ends_and_keeps_what_came(
    host: Callable[..., Receiver], fetch: Fetch, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[int] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 7200 * len(came))
    monkeypatch.setattr("boxyard_worker.weights.transfer.time", clock)

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            handler.wfile.write(bytes(1 << 10))
            time.sleep(0.02)

    with pytest.raises(SetupError, match="BOXYARD_WEIGHTS_DEADLINE_S"):
        fetch(host(slow), progress=lambda done, _: came.append(done), weights_deadline_s=3600)
    assert target.with_name("model.pth.part").stat().st_size > came[0] > 0


def test_mirrors_stand_before_the_published_host_and_keep_the_path() -> None:
    published = "http://weights.example/v2/a/b.pth"
    mirrors = ["https://one.example/base/", "http://two.example", "http://two.example"]
    assert list_addresses(published, mirrors, published=True) == [
        "https://one.example/base/v2/a/b.pth",
        "http://two.example/v2/a/b.pth",
        "https://weights.example/v2/a/b.pth",
    ]
    with pytest.raises(SetupError, match="no mirror is named"):
        list_addresses(published, [], published=False)


@pytest.mark.parametrize("mirror", ["ftp://one.example", "one.example", "file:///a", "https://"])
def test_a_mirror_that_is_no_base_url_is_named(mirror: str) -> None:
    with pytest.raises(SetupError, match="no base URL"):
        list_addresses("https://weights.example/a.pth", [mirror], published=True)


def test_mirrors_are_settings_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXYARD_WEIGHTS_MIRRORS", "https://one.example, https://two.example/base")
    assert WeightsSettings().weights_mirrors == (
        "https://one.example",
        "https://two.example/base",
    )


def test_the_cache_is_in_the_users_cache_folder_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert WeightsSettings().weights_dir == tmp_path / "boxyard" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert WeightsSettings().weights_dir == tmp_path / "home" / ".cache" / "boxyard" / "weights"


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside: list[str] = []

    def enter(name: str) -> None:
        for _ in range(20):
            with hold(tmp_path / "lock"):
                inside.append(name)
                time.sleep(0.001)
                inside.append(name)

    threads = [Thread(target=enter, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(first == second for first, second in zip(inside[::2], inside[1::2], strict=True))
    assert list(tmp_path.iterdir()) == []
