"""Which addresses may be connected to: public ones, those that the table lists, and the one spelt out in base_url."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last 32 bits are an IPv4 address."""


class Reachable:
    """The addresses that a source may connect to.

    `listed`: networks that are not public and wanted all the same. `home`: the host of base_url, in lower case; where
    it is ``localhost`` or the figures of a private address, who wrote it means that address, under that host alone.
    """

    def __init__(self, listed: Sequence[str], home: str = "") -> None:
        self._listed: tuple[Network, ...] = tuple(ipaddress.ip_network(one) for one in listed)
        self._home = home
        self._meant = meant_by(home)

    def allows(self, text: str, host: str = "") -> bool:
        """Whether an address (in figures; an IPv6 one may have a zone) may be connected to for a host."""
        if (address := _address(text)) is None:
            return False
        reached = _behind(address)
        wanted = (*self._listed, *(self._meant if host == self._home else ()))
        return _is_public(reached) or any(one in network for network in wanted for one in (address, reached))


def meant_by(host: str) -> Sequence[Network]:
    """Return the addresses that are not public, and that writing this host in base_url is consent to.

    None for a name, which may come to lead anywhere, and for addresses where no service of one's own is: link-local
    ones (the metadata of cloud machines), 0.0.0.0, multicast and reserved ones have to be listed.
    """
    if host == "localhost":
        return _LOOPBACK
    if (address := _address(host)) is None:
        return ()
    reached = _behind(address)
    return () if _is_public(reached) or not _is_of_a_service(reached) else (ipaddress.ip_network(address),)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _is_of_a_service(address: Address) -> bool:
    is_elsewhere = address.is_link_local or address.is_multicast or address.is_unspecified
    return address.is_loopback or not (is_elsewhere or address.is_reserved)


def _behind(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one leads to (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved
