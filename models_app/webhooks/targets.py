"""Where a webhook may go: to public addresses by TLS, and within one's own network where a setting names the place.

What is looked at is what is connected to: a name is resolved once, every address that it has is looked at, and the
connection goes to one of these (`posting.py`). A name that says something else the next moment gains nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

LONGEST = 2000
#: Of the IPv6 addresses only these are given out to anybody, beside a gateway's to IPv4.
_GIVEN_OUT = (ip_network("2000::/3"), ip_network("64:ff9b::/96"))
# What Python calls private only in later versions: documentation, and IETF's own.
_NOBODY_S = (ip_network("3fff::/20"), ip_network("192.0.0.0/24"))
_ISATAP = (0x00005EFE, 0x02005EFE)
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class NotThere(Exception):
    """Nothing is sent; the message says why."""


@dataclass(frozen=True)
class Inside:
    """What of one's own network is allowed: names as they stand in the address, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def has(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


@dataclass(frozen=True)
class Target:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """Raises NotThere for what is no address that a webhook can have."""
    if len(url) > LONGEST:
        raise NotThere(f"The address has more than {LONGEST:,} characters.")
    if not url or any(not "!" <= letter <= "~" or letter in '\\"<>^`{|}' for letter in url):
        raise NotThere(
            "Write an address such as https://ci.example.org/galley, without spaces; "
            "names with other letters in their ASCII form (xn--…)."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotThere("This is no address: its host or its port cannot be read.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise NotThere("Write an address that begins with https://.")
    if "@" in parts.netloc:
        raise NotThere("Leave name and password out of the address; deliveries are signed instead.")
    if parts.fragment:
        raise NotThere("Leave out what comes after the #; it is never sent.")
    if "%" in parts.hostname or port == 0:
        raise NotThere("This is no address: its host or its port cannot be read.")
    port = port or (443 if parts.scheme == "https" else 80)
    if port < 1024 and port not in (80, 443):
        raise NotThere(f"Port {port} belongs to another kind of service: take 443, 80, or one from 1024 on.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname.rstrip("."), port, path)


def refuse_at_once(target: Target, inside: Inside) -> None:
    """What no name has to be resolved for: where an address stands in the place of the name. Raises NotThere."""
    try:
        written = str(ip_address(target.host))
    except (
        ValueError
    ):  # a name, or another way to write an address, which the system reads when it is resolved
        return
    look_at(target, [written], inside)


def look_at(target: Target, addresses: Sequence[str], inside: Inside) -> list[str]:
    """The addresses to connect to, in order. Raises NotThere where one of them is not allowed: which one a connection
    would have taken is chance."""
    if not addresses:
        raise NotThere(f"{target.host} has no address.")
    named = target.host in inside.hosts
    for written in addresses:
        address = ip_address(written)
        ours = named or inside.has(address)
        if not ours and not _is_public(address):
            which = "" if str(address) == target.host else f"{address}, which is "
            raise NotThere(
                f"{target.host} is {which}no public address. Where it is meant, the operator of Galley names it in "
                "GALLEY_WEBHOOK_HOSTS."
            )
        if not ours and target.scheme != "https":
            raise NotThere(
                "Without TLS webhooks go only to places that GALLEY_WEBHOOK_HOSTS names: write https://."
            )
    return list(addresses)


def _is_public(address: Address) -> bool:
    return all(_is_given_out(one) for one in _with_embedded(address))


def _is_given_out(address: Address) -> bool:
    if not address.is_global or address.is_multicast or any(address in network for network in _NOBODY_S):
        return False
    return address.version == 4 or any(address in network for network in _GIVEN_OUT)


def _with_embedded(address: Address) -> Iterator[Address]:
    """The address and those that it carries inside, to which a gateway would pass it on."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if not isinstance(address, IPv6Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _GIVEN_OUT[1] or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


Resolver = Callable[[str, int, float], list[str]]


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """All addresses of a name. Raises NotThere; also where no answer comes within `seconds`, since the system's own
    limits are longer."""
    found: list[str] = []
    wrong: list[str] = []

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            wrong.append(getattr(error, "strerror", None) or str(error))
        else:
            found.extend(dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if asking.is_alive():
        raise NotThere(f"Which address {host} has was not answered within {seconds:.0f} seconds.")
    if wrong:
        raise NotThere(f"{host} has no address: {wrong[0]}.")
    return found
