"""Where a request comes from: the one answer that limits, sessions and logs share.

A proxy appends the address it was called from to `X-Forwarded-For`; the caller may have written anything before it.
So the header is read from the right, and only as far as trusted proxies vouch for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# Of the request that this thread answers; empty without a request (commands, jobs).
current: ContextVar[str] = ContextVar("client_address", default="")


def client_address(*, peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The rightmost address that no trusted proxy has; `peer` where it is not a trusted proxy itself, and where a
    trusted proxy passed on what is no address."""
    address = _parsed(peer)
    if address is None:
        return peer
    for hop in reversed(forwarded.split(",")):
        if not _is_in(address, trusted):
            break
        further = _parsed(hop)
        if further is None:
            break
        address = further
    return str(address)


def counted(address: str) -> str:
    """What tries and connections are counted for. A household has a whole IPv6 network of 64 bits: its addresses count
    as one."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network(f"{parsed}/64", strict=False))
    return str(parsed or address)


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """False for what is no address."""
    parsed = _parsed(address)
    return parsed is not None and _is_in(parsed, networks)


def _parsed(written: str) -> Address | None:
    """'10.0.0.7', '10.0.0.7:5123', '2001:db8::7', '[2001:db8::7]:5123'; an IPv4 address in IPv6 dress is itself."""
    text = written.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
