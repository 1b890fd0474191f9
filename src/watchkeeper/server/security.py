"""What every answer carries and every request must pass before anybody looks at it: headers, hosts, origins."""

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from hashlib import sha256
from urllib.parse import urlsplit

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'"
)
# By which a client tells an answer of ours from that of another service at the same address.
MARK = "x-watchkeeper"
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (MARK.encode(), b"1"),
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def host_of(value: str) -> str | None:
    """The name in a Host header, lower case and without port or brackets; None when it is malformed."""
    text = value.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not (rest.startswith(":") and rest[1:].isdigit())):
            return None
        return name
    name, colon, port = text.partition(":")
    if colon and not port.isdigit():
        return None
    return name.rstrip(".") or None


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_allowed(value: str | None, known: frozenset[str], local_address: str | None) -> bool:
    """Whether a Host header names this server. An address is also fine when the connection came in on that very
    address, which no rebound name can imitate; so probes by address work without configuration."""
    name = host_of(value) if value is not None else None
    if name is None:
        return False
    return name in known or (local_address is not None and name == local_address)


def known_hosts(public_url: str | None, hosts: Iterable[str], bind: str) -> frozenset[str]:
    """Every name the server answers to."""
    names = set(LOOPBACK_NAMES)
    names.update(n for h in hosts if (n := host_of(h)))
    if public_url and (name := urlsplit(public_url).hostname):
        names.add(name.lower())
    if bind not in ("0.0.0.0", "::", ""):
        names.add(bind.lower())
    return frozenset(names)


def cross_site(headers: Mapping[str, str], public_url: str | None) -> str | None:
    """Why this request comes from somebody else's page, None when it does not look like it.

    Only headers a page cannot set are read. The request's own Host counts as ours: it passed the allow-list.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return (
            f"Sec-Fetch-Site is {site!r}"
            if site in ("cross-site", "same-site")
            else "Sec-Fetch-Site is not ours"
        )
    origin = headers.get("origin")
    if origin is None:
        return None
    host = headers.get("host", "").lower()
    ours = {f"http://{host}", f"https://{host}"} if public_url is None else {public_url.lower().rstrip("/")}
    if public_url is not None and is_loopback(host_of(host) or ""):
        ours.add(f"http://{host}")
    return None if origin.lower() in ours else "Origin is another site"


def csrf_token(session_secret: str) -> str:
    """The token that proves a form was made by a page of ours for this session."""
    return hmac.new(session_secret.encode(), b"watchkeeper csrf", sha256).hexdigest()


def bind_refusal(host: str, no_auth: bool, public_url: str | None, behind_tls_proxy: bool) -> str | None:
    """Why the server may not listen on this address, as one sentence that says what to set; None when it may."""
    if is_loopback(host):
        return None
    if no_auth:
        return (
            f"--no-auth works on loopback only, and {host} is reachable from elsewhere; "
            "leave out --no-auth, or use --host 127.0.0.1"
        )
    if not behind_tls_proxy:
        return (
            f"listening on {host} would send keys and traces in the clear; put a TLS proxy in front and set "
            "server.behind_tls_proxy: true in the configuration, or use --host 127.0.0.1"
        )
    if public_url is None:
        return f"listening on {host} needs server.public_url: https://… in the configuration, the address people open"
    return None
