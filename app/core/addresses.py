"""IP addresses that others choose: what an address stands for, and whether that is on the public internet."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address

_IPV4_IN_IPV6: Final = (
    IPv6Network("::/96"),  # IPv4-compatible
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"),  # SIIT (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)
"""Networks whose last 32 bits are an IPv4 address."""
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")


def is_public(address: Address) -> bool:
    """Return whether an address, and every address it stands for, is on the public internet."""
    return all(_is_global(meant) for meant in meant_addresses(address))


def meant_addresses(address: Address) -> list[Address]:
    """Return what an address stands for: an IPv4 address inside an IPv6 one, the end of a 6to4 tunnel, server and client of a
    Teredo one, else the address itself."""
    if isinstance(address, IPv6Address):
        if address.sixtofour is not None:
            return [address.sixtofour]
        if address.teredo is not None:
            return list(address.teredo)
        if int(address) > 1 and any(address in network for network in _IPV4_IN_IPV6):
            return [IPv4Address(int(address) & 0xFFFFFFFF)]
        if address in _NAT64_LOCAL:
            return [IPv6Address("::1")]  # Where it leads is known to the network's own translator only.
    return [address]


def _is_global(address: Address) -> bool:
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or is_site_local)
