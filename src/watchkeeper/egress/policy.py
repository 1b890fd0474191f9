"""Where we may connect: public addresses over https, and what the operator listed, nothing wider."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from watchkeeper.egress.addresses import Address, carried, is_public

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2000-\u200f\u2028-\u202f\ufeff]")
DEFAULT_PORTS = {"https": 443, "http": 80}


class EgressRefused(OSError):
    """The policy does not let us connect there. The text names the reason, never what answered.

    An OSError, because that is what a connector may raise from a resolver or a socket without being misread.
    """


@dataclass(frozen=True)
class Entry:
    """One line of the operator's allow-list: a network or an exact host name, and optionally one port."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    host: str | None
    port: int | None

    def covers(self, host: str, port: int, address: Address) -> bool:
        """Does this line allow a connection to `address:port` made for a URL that names `host`?"""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return any(a.version == self.network.version and a in self.network for a in carried(address)[:1])
        # A name may point at the operator's own network, but never at the cloud's metadata service.
        return self.host == host and not any(a.is_link_local or a.is_multicast for a in carried(address))


def parse_entry(text: str) -> Entry:
    """Read `10.1.2.0/24`, `127.0.0.1:9000`, `[::1]:9000`, `hooks.internal:8443` or `hooks.internal`.

    Raises ValueError that says what is wrong and what is allowed.
    """
    wanted = f"'{text}' is not an address, a network, a host name, or one of these with ':port'"
    rest, port = text.strip().lower(), None
    found = re.fullmatch(r"(\[[^\]]+\](?:/\d+)?|[^:]+):(\d{1,5})", rest)
    if found:
        rest, port = found[1], int(found[2])
        if not 0 < port < 65536:
            raise ValueError(f"'{text}': the port must be between 1 and 65535")
    bare = rest.replace("[", "").replace("]", "")
    try:
        return Entry(ipaddress.ip_network(bare, strict=True), None, port)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"'{text}' is not a network: {error}") from None
    labels = rest.split(".")
    if _NUMBER.match(labels[-1]) or not all(_LABEL.match(label) for label in labels):
        raise ValueError(wanted)
    return Entry(None, rest, port)


@dataclass(frozen=True)
class Target:
    """A URL taken apart and found well formed. `host` is lower case ASCII; `address` is set for literals."""

    scheme: str
    host: str
    port: int
    address: Address | None


def _host(raw: str, url: str) -> tuple[str, Address | None]:
    if raw.startswith("["):
        if "%" in raw or not raw.endswith("]"):
            raise EgressRefused(f"the host of {url!r} is not a plain IPv6 address (zone ids are not allowed)")
        try:
            address = ipaddress.IPv6Address(raw[1:-1])
        except ValueError:
            raise EgressRefused(f"the host of {url!r} is not an IPv6 address") from None
        return str(address), address
    host = raw.lower().removesuffix(".")
    if not host.isascii():
        # An unusual spelling of `localhost` or of a number must not survive until the resolver folds it.
        raise EgressRefused(f"the host of {url!r} is not ASCII; write an international name in its xn-- form")
    labels = host.split(".")
    if not host or len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        raise EgressRefused(f"{url!r} has no valid host name")
    if not _NUMBER.match(labels[-1]):
        return host, None
    try:
        return host, ipaddress.IPv4Address(host)
    except ValueError:
        raise EgressRefused(f"{url!r}: write an IPv4 address as four decimal numbers") from None


def parse_url(url: str) -> Target:
    """Take `url` apart strictly; anything two parsers could read differently raises `EgressRefused`."""
    if len(url) > 2048:
        raise EgressRefused("the URL is longer than 2048 characters")
    if _FORBIDDEN.search(url):
        raise EgressRefused(f"{url!r} contains a space, a backslash or an invisible character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EgressRefused(f"{url!r} is not a URL") from None
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise EgressRefused(f"{url!r}: only https URLs are allowed")
    if "@" in parts.netloc:
        raise EgressRefused(
            "a URL with a user name or password in it is not allowed; use a header or a secret"
        )
    if not parts.netloc:
        raise EgressRefused(f"{url!r} has no host")
    raw = parts.netloc
    if port is not None or raw.endswith(":"):
        raw = raw.rpartition(":")[0]
    host, address = _host(raw, url)
    return Target(scheme, host, port if port is not None else DEFAULT_PORTS[scheme], address)


@dataclass(frozen=True)
class Policy:
    """What may be reached. `allow` is the operator's list; users and traced content can never add to it."""

    allow: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, *entries: str) -> "Policy":
        """A policy from allow-list lines.

        >>> Policy.of("127.0.0.1:9000").permits("127.0.0.1", 9000, ipaddress.ip_address("127.0.0.1"))
        True
        """
        return cls(tuple(parse_entry(entry) for entry in entries))

    def listed(self, host: str, port: int, address: Address) -> bool:
        """Did the operator list this address or host on this port?"""
        return any(entry.covers(host, port, address) for entry in self.allow)

    def permits(self, host: str, port: int, address: Address, public_ports: tuple[int, ...] = (443,)) -> bool:
        """May a connection for `host` go to `address:port`? `public_ports` bounds what is not on the list."""
        return self.listed(host, port, address) or (port in public_ports and is_public(address))

    def _names(self, target: Target) -> bool:
        return any(e.host == target.host and e.port in (None, target.port) for e in self.allow)

    def check(self, url: str) -> Target:
        """Refuse what can be refused before any name is resolved; the address is checked again at connect."""
        target = parse_url(url)
        if target.address is not None:
            if not self.permits(target.host, target.port, target.address):
                raise EgressRefused(
                    f"{target.host}:{target.port} is not a public https address and is not in egress.allow"
                )
            listed = self.listed(target.host, target.port, target.address)
        else:
            # A listed network can only be recognised after resolution, so a name passes here and is judged there.
            listed = self._names(target) or any(
                e.network is not None and e.port in (None, target.port) for e in self.allow
            )
        if not listed and (target.scheme != "https" or target.port != 443):
            raise EgressRefused(
                f"{url!r}: only https on port 443 is allowed; the operator can list host:port"
            )
        return target
