"""Which IP addresses are the public internet. Everything else is refused unless an operator listed it."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Written out rather than taken from `is_global`, whose answer changes between Python releases.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "::1/128",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def carried(address: Address) -> tuple[Address, ...]:
    """The address and every IPv4 address it carries inside (mapped, 6to4, NAT64): all must be allowed.

    >>> [str(a) for a in carried(ipaddress.ip_address("::ffff:10.0.0.1"))]
    ['10.0.0.1']
    """
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address, address.sixtofour)
    if address in _NAT64:
        return (address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return (address,)


def is_public(address: Address) -> bool:
    """True when `address`, and any IPv4 address inside it, is on the public internet."""
    return all(
        not any(part.version == block.version and part in block for block in _NOT_PUBLIC)
        for part in carried(address)
    )
