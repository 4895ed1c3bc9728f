from __future__ import annotations

import pytest

from boxyard_schemas.addresses import AddressPolicy
from boxyard_schemas.errors import Permanent

INSIDE = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1.",
    "\uff11\uff12\uff17.0.0.1",
    "[::1]",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1%eth0",
    "fec0::1",
    "fd00::1",
    "3fff::1",
    "ff02::1",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.8",
    "192.88.99.1",
    "168.63.129.16",
    "192.168.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST.",
    "api.localhost",
    "1.2.3.4.5",
    "0x",
    "256.256.256.256",
    "09.1.1.1",
]


@pytest.mark.parametrize("host", INSIDE)
def test_a_host_that_leads_inside_is_refused_however_it_is_spelled(host: str) -> None:
    with pytest.raises(Permanent) as refused:
        AddressPolicy().check_host(host)
    assert refused.value.reason == "address-denied"


@pytest.mark.parametrize(
    "host", ["93.184.216.34", "2606:4700::1111", "[2606:4700::1111]", "example.com", "1.2.3.com"]
)
def test_a_public_address_and_an_ordinary_name_pass(host: str) -> None:
    AddressPolicy().check_host(host)


def test_the_operator_opens_a_network_and_no_more() -> None:
    policy = AddressPolicy(allowed_networks=["127.0.0.0/8", "fd00::/8"])
    for host in ("127.0.0.1", "localhost", "::ffff:127.0.0.1", "fd12::1"):
        policy.check_host(host)
    with pytest.raises(Permanent, match="BOXYARD_ALLOWED_NETWORKS"):
        policy.check_host("10.0.0.1")


def test_who_opens_the_loopback_opens_localhost_in_both_families() -> None:
    policy = AddressPolicy(["127.0.0.0/8"])
    for address in ("127.0.0.1", "::1"):
        policy.check_address(address, host="localhost")
    with pytest.raises(Permanent):
        AddressPolicy(["127.0.0.1/32"]).check_address("::1", host="localhost")


def test_the_operator_opens_a_host_by_its_name() -> None:
    policy = AddressPolicy(allowed_hosts=["Camera.Internal"])
    policy.check_host("camera.internal.")
    policy.check_address("10.0.0.7", host="camera.internal")
    with pytest.raises(Permanent):
        policy.check_address("10.0.0.7", host="other.internal")
    with pytest.raises(Permanent):
        policy.check_address("10.0.0.7")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a",
        "http:///a",
        "http://user:secret@example.com/",
        "http://example.com@127.0.0.1/",
        "http://[::1]/",
    ],
)
def test_a_url_with_another_scheme_a_password_or_an_inner_host_is_refused(url: str) -> None:
    with pytest.raises(Permanent):
        AddressPolicy().check_url(url)


def test_a_resolver_that_answers_nonsense_is_refused() -> None:
    with pytest.raises(Permanent, match="not an IP address"):
        AddressPolicy().check_address("nonsense", host="example.com")
