"""Which addresses a caller may name: by default those of the public internet alone.

The server asks at accept time, about what is written; the worker's egress asks again about every
address that a name resolves to, just before it connects.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from .errors import Permanent

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _as_cidr(text: str) -> str:
    return str(ipaddress.ip_network(text))


Network = Annotated[str, AfterValidator(_as_cidr)]
"""A CIDR, such as `10.0.0.0/8`."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# Not somebody's on the public internet either, whatever Python's own tables of the day say:
# protocol assignments, 6to4's relays, Azure's host as its guests see it, documentation.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")
)
_LOOPBACK4 = ipaddress.IPv4Network("127.0.0.0/8")
_LOOPBACK6 = ipaddress.IPv6Network("::1/128")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "localhost6", "ip6-localhost")


class AddressPolicy:
    """Global addresses, and what the operator adds.

    Args:
        allowed_networks: CIDRs that may be reached though they are not global.
        allowed_hosts: names that may be reached whatever their addresses are.

    Raises:
        ValueError: a network is not a CIDR.
    """

    def __init__(
        self, allowed_networks: Iterable[str] = (), allowed_hosts: Iterable[str] = ()
    ) -> None:
        networks = tuple(ipaddress.ip_network(network) for network in allowed_networks)
        # `localhost` is both loopbacks; who opens the one means this machine.
        self._networks = (*networks, _LOOPBACK6) if _LOOPBACK4 in networks else networks
        self._hosts = frozenset(normalise_host(host) for host in allowed_hosts)

    def check_url(self, url: str) -> None:
        """Refuses a URL that plainly leads inside, has another scheme, or carries a password.

        Raises:
            Permanent: `address-denied`.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _denied(f"{url!r} is not an http or https URL")
        if "@" in parts.netloc:
            raise _denied("a URL may not carry a user or a password before its host")
        self.check_host(parts.hostname)

    def check_host(self, host: str) -> None:
        """Refuses a host that plainly leads inside; other names are for `check_address`.

        Raises:
            Permanent: `address-denied`.
        """
        name = normalise_host(host)
        if name in self._hosts:
            return
        if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
            self.check_address("127.0.0.1", host=host)
        elif (address := read_literal(name)) is not None:
            self.check_address(str(address), host=host)
        elif _NUMBER.fullmatch(name.rpartition(".")[2]):
            raise _denied(f"{host!r} ends like an IP address and is none")

    def check_address(self, address: str, *, host: str | None = None) -> None:
        """Refuses an address that is not global and not in the operator's networks.

        Args:
            address: IPv4 or IPv6, as the resolver gives it.
            host: the name it was resolved from, for the operator's hosts and the message.

        Raises:
            Permanent: `address-denied`.
        """
        if host is not None and normalise_host(host) in self._hosts:
            return
        try:
            found = unwrap(ipaddress.ip_address(address))
        except ValueError:
            raise _denied(f"{address!r} is not an IP address") from None
        if not is_public(found) and not any(found in network for network in self._networks):
            raise _denied(
                f"{host or address} leads to {found}, which is not a public address; the operator "
                "can allow it by BOXYARD_ALLOWED_NETWORKS or BOXYARD_ALLOWED_HOSTS"
            )


def normalise_host(host: str) -> str:
    """One spelling of a host: folded, lower case, no brackets, no trailing dot."""
    return unicodedata.normalize("NFKC", host).lower().strip("[]").rstrip(".")


def read_literal(host: str) -> Address | None:
    """The address that a host spells, in any way that a resolver reads; None for a name.

    Resolvers read one to four parts, each decimal, octal or hexadecimal: `2130706433`,
    `0177.0.0.1` and `0x7f.1` are all 127.0.0.1.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        parts = host.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        numbers = [_read_number(part) for part in parts]
        head, tail = numbers[:-1], numbers[-1]
        octets = bytes(head) + tail.to_bytes(4 - len(head), "big")
    except (ValueError, OverflowError):
        return None
    return ipaddress.IPv4Address(octets)


def unwrap(address: Address) -> Address:
    """The IPv4 address inside a mapped, compatible, 6to4 or NAT64 one; else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if inner := address.ipv4_mapped or address.sixtofour:
        return inner
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an unwrapped address is somebody's on the public internet."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_site_local or address in _LOCAL_NAT64
    ):
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _read_number(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") and part != "0" else 10)


def _denied(detail: str) -> Permanent:
    return Permanent("address-denied", detail)
