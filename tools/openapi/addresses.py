"""Which addresses may be connected to: public ones, and those that the table lists."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last 32 bits are an IPv4 address."""


class Reachable:
    """The addresses that a source may connect to. `listed`: networks that are not public and wanted all the same."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._listed: tuple[Network, ...] = tuple(ipaddress.ip_network(one) for one in listed)

    def allows(self, text: str) -> bool:
        """Whether an address (in figures; an IPv6 one may have a zone) may be connected to."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        reached = _behind(address)
        return _is_public(reached) or any(one in network for network in self._listed for one in (address, reached))


def _behind(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one leads to (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved
