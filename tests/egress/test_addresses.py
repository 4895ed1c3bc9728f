"""Where the way out does not lead: faults 29, 30 and 31."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyard_schemas.errors import Permanent, Retryable
from boxyard_worker.egress import Egress, EgressSettings
from certificates import certificate_for
from receivers import Canary, Receiver, say

LOOPBACK = EgressSettings(allowed_networks=("127.0.0.0/8",), allowed_ports=frozenset())
ANY_PORT = EgressSettings(allowed_ports=frozenset())


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    assert canary.sings(), "somebody connected"
    canary.close()


def fetch(egress: Egress, url: str) -> bytes:
    return egress.fetch(url, max_bytes=1000, deadline_s=10)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "%31%32%37.0.0.1",
        "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
        "caller:secret@127.0.0.1",
        "example.org@127.0.0.1",
        "example.org\\@127.0.0.1",
        "0",
        "127.1.",
        "0x7f.1",
        "0177.1",
        "00000177.0.0.1",
        "127.0.0.01",
        "127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1",
        "\N{CIRCLED DIGIT ONE}\N{CIRCLED DIGIT TWO}\N{CIRCLED DIGIT SEVEN}.0.0.1",
        "\N{CIRCLED LATIN SMALL LETTER L}ocalhost",
        "any.localhost",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "[2001:0:7f00:1::]",
        "[::1%25lo]",
        "[127.0.0.1]",
        "127%2e0%2e0%2e1",
        "127.0.0.1%00.example.org",
        "127.0.0.1%0d%0a",
        "127.0.0.1%09",
    ],
)
def test_loopback_is_refused_however_it_is_spelt(host: str, canary: Canary) -> None:
    with Egress(ANY_PORT) as egress, pytest.raises(Permanent) as refusal:
        fetch(egress, f"http://{host}:{canary.port}/")
    assert refusal.value.reason == "address-denied"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.1.1./",
        "http://100.64.0.1/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[ff02::1]/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http:///path",
        "http://[::1",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://example.org:-1/",
        "http://./",
        "http://a..b/",
        "http://" + ".".join(["long"] * 60) + "/",
        "http://example.org/\r\nHost: inside",
        "ht\ntp://example.org/",
        "http://168.63.129.16/",
        "http://192.0.0.8/",
        "http://[3fff::1]/",
        "http://[fe80::1%25eth0]/",
        "http://2852039166/",
        "not a url",
    ],
)
def test_what_is_not_a_global_web_address_is_refused(url: str) -> None:
    with Egress(ANY_PORT) as egress, pytest.raises(Permanent) as refusal:
        fetch(egress, url)
    assert refusal.value.reason == "address-denied"


def test_a_port_outside_the_setting_is_refused_and_the_setting_named() -> None:
    with Egress(EgressSettings()) as egress, pytest.raises(Permanent) as refusal:
        fetch(egress, "http://198.51.100.1:6379/")
    assert "BOXYARD_ALLOWED_PORTS" in refusal.value.detail


def test_an_allowed_network_is_reached() -> None:
    with Receiver(say(200, b"picture")) as receiver, Egress(LOOPBACK) as egress:
        assert fetch(egress, receiver.url) == b"picture"


def test_the_host_is_said_as_the_url_says_it() -> None:
    loopback = EgressSettings(allowed_networks=("::1/128",), allowed_ports=frozenset())
    with Receiver(say(200, b"six"), host="::1") as receiver, Egress(loopback) as egress:
        assert fetch(egress, receiver.url) == b"six"
    assert receiver.requests[0].headers["host"] == f"[::1]:{receiver.port}"


def test_a_redirect_to_a_link_local_address_opens_no_connection(canary: Canary) -> None:
    # The canary stands on another loopback network, which the setting does not allow.
    settings = EgressSettings(allowed_networks=("127.0.0.1/32",), allowed_ports=frozenset())
    inner = Canary("127.8.8.8")
    for location in (
        "http://169.254.169.254/latest/",
        f"http://127.8.8.8:{inner.port}/",
        f"//127.8.8.8:{inner.port}/",
        "file:///etc/passwd",
    ):
        with (
            Receiver(say(302, Location=location)) as receiver,
            Egress(settings) as egress,
            pytest.raises(Permanent) as refusal,
        ):
            fetch(egress, receiver.url)
        assert refusal.value.reason == "address-denied"
    assert inner.sings()
    inner.close()


def test_a_name_that_rebinds_is_resolved_once_and_the_checked_address_reached() -> None:
    answers = iter([["127.0.0.1"], ["127.8.8.8"]])
    settings = EgressSettings(allowed_networks=("127.0.0.1/32",), allowed_ports=frozenset())
    with (
        Receiver(say(200, b"first")) as receiver,
        Egress(settings, resolver=lambda host, port: next(answers)) as egress,
    ):
        assert fetch(egress, f"http://rebind.test:{receiver.port}/") == b"first"
    assert next(answers) == ["127.8.8.8"], "the name was resolved a second time"
    assert receiver.requests[0].headers["host"] == f"rebind.test:{receiver.port}"


def test_a_name_with_one_inner_address_among_its_addresses_is_refused(canary: Canary) -> None:
    def resolver(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "127.0.0.1"]

    with Egress(ANY_PORT, resolver) as egress, pytest.raises(Permanent) as refusal:
        fetch(egress, f"http://both.test:{canary.port}/")
    assert refusal.value.reason == "address-denied"


def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, canary: Canary
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    with Receiver(say(200, b"direct")) as receiver, Egress(LOOPBACK) as egress:
        assert fetch(egress, receiver.url) == b"direct"


def test_a_redirect_from_https_to_http_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = certificate_for("receiver.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    with (
        Receiver(say(200, b"in the clear")) as open_,
        Receiver(say(302, Location=open_.url), tls=context) as sealed,
        Egress(LOOPBACK, lambda host, port: ["127.0.0.1"]) as egress,
        pytest.raises(Permanent, match="from https to http"),
    ):
        fetch(egress, f"https://receiver.test:{sealed.port}/")
    assert open_.requests == []


@pytest.mark.parametrize("host", ["xn--", "xn--0", "xn--a-.example", "-x"])
def test_a_malformed_name_that_nobody_knows_is_an_error_of_the_fetch(host: str) -> None:
    def resolver(name: str, port: int) -> list[str]:
        raise OSError("nobody knows it")

    with Egress(ANY_PORT, resolver) as egress, pytest.raises(Retryable) as failure:
        fetch(egress, f"http://{host}/")
    assert failure.value.reason == "fetch-failed"
