"""Who is calling, and for which project."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from watchkeeper.redaction.find import find
from watchkeeper.server.routing import (
    ANONYMOUS,
    DEFAULT_PROJECT,
    EVERY_PROJECT,
    UNSAFE,
    HttpError,
    Principal,
    Request,
    Route,
    allows,
    sent_form,
)
from watchkeeper.server.security import cross_site, csrf_token
from watchkeeper.server.services import Services
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import access, audit

log = logging.getLogger("watchkeeper.auth")

REMEMBER_SECONDS = 4.0  # A revoked key or ended session stops working within this time.
REMEMBER_MOST = 4096
COOKIE, SECURE_COOKIE, PROJECT_COOKIE = "wk_session", "__Host-wk_session", "wk_project"
PROJECT_HEADER = "x-watchkeeper-project"
UNNAMED = frozenset({"card", "iban", "secret"})
LOCAL = Principal("local", "local", MappingProxyType({EVERY_PROJECT: "admin"}))
NO_KEY = "this needs an API key or a login"
KEY_HINT = (
    "send Authorization: Bearer wk_…; 'watchkeeper keys create' makes a key, 'watchkeeper login-link' a login"
)
# What every 401 carries (RFC 9110, 11.6.1).
CHALLENGE = {"www-authenticate": "Bearer"}


def key_in(headers: Mapping[str, str], otlp: bool) -> str | None:
    """The API key a request carries. OTLP exporters may also send `x-api-key`, or Basic with the key as password."""
    value = headers.get("authorization")
    if value is not None:
        scheme, _, rest = value.partition(" ")
        rest = rest.strip()
        if scheme.lower() == "bearer":
            return rest
        if scheme.lower() == "basic" and otlp:
            try:
                pair = base64.b64decode(rest, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return ""
            user, _, password = pair.partition(":")
            return password or user
        return ""
    return headers.get("x-api-key") if otlp else None


class Throttle:
    """At most `most` failures in `seconds` for one address; memory is bounded by forgetting the oldest address."""

    def __init__(self, most: int = 10, seconds: float = 60.0, addresses: int = 4096) -> None:
        self.most, self.seconds, self.addresses = most, seconds, addresses
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> int:
        """Whole seconds to wait before another attempt, 0 when it may be made now."""
        recent = [t for t in self._failures.get(address, []) if t > now - self.seconds]
        return 0 if len(recent) < self.most else max(1, round(recent[0] + self.seconds - now))

    def failed(self, address: str, now: float) -> int:
        """Note a failure; how many there were in the period."""
        recent = [t for t in self._failures.pop(address, []) if t > now - self.seconds][-self.most :]
        self._failures[address] = [*recent, now]
        while len(self._failures) > self.addresses:
            self._failures.popitem(last=False)
        return len(recent) + 1


class Authenticator:
    """Turns credentials into a `Principal`, remembering each for a few seconds so that capture asks no database."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._last_used: dict[str, int] = {}
        self._failures = Throttle(most=3)
        self.logins = Throttle(most=10)
        self.local_keys: dict[bytes, Principal] = {}

    def forget(self) -> None:
        """Ask the database again for everyone: call after a key or role changed."""
        self._known.clear()

    def trust(self, key: str, principal: Principal) -> None:
        """Accept a key that lives only in this process, for the command line on this machine."""
        self.local_keys[hashlib.sha256(key.encode()).digest()] = principal

    def _remembered(self, digest: bytes) -> Principal | None:
        found = self._known.get(digest)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def _remember(self, digest: bytes, principal: Principal) -> None:
        self._known[digest] = (time.monotonic() + REMEMBER_SECONDS, principal)
        while len(self._known) > REMEMBER_MOST:
            self._known.popitem(last=False)

    def seen(self, headers: Mapping[str, str]) -> Principal | None:
        """The owner of a request's key as last known, None when it was never asked for: enough to refuse something for
        another reason, not to allow anything."""
        if self.services.no_auth:
            return LOCAL
        digest = hashlib.sha256((key_in(headers, otlp=True) or "").encode("utf-8", "replace")).digest()
        found = self._known.get(digest)
        return self.local_keys.get(digest) or (found[1] if found is not None else None)

    async def by_key(self, text: str, source: str) -> Principal:
        """The owner of an API key. Raises `HttpError` 401."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        local = self.local_keys.get(digest)
        if local is not None:
            return local
        found = self._remembered(digest)
        if found is None:
            now = self.services.wall_clock()
            key, why = await self.services.records.read(lambda c: access.find_key(c, text, now))
            if key is None:
                await self._failed_key(why, source, text)
                said = {"revoked": "this key was revoked", "expired": "this key has expired"}.get(why)
                raise HttpError(401, said or "this is not a valid API key", KEY_HINT, CHALLENGE)
            roles = MappingProxyType({key.project: key.role})
            found = Principal(f"key:{key.name}", "key", roles, key_id=key.id)
            self._remember(digest, found)
            self._last_used[key.id] = now
        return found

    async def _failed_key(self, why: str, source: str, text: str) -> None:
        self.services.counters.add("watchkeeper_auth_failures_total", reason=why)
        # Bounded, or whoever sends nonsense would write our audit log; the counter has the full number.
        if self._failures.failed(source, time.monotonic()) > self._failures.most:
            return
        key_id = text.split("_")[1][:12] if text.startswith("wk_") and text.count("_") >= 2 else ""
        now = self.services.wall_clock()
        # On a full disk the caller still hears 401 and not a fault of ours.
        with contextlib.suppress(StoreUnavailable):
            await self.services.records.write(
                lambda c: audit.record(
                    c, project=EVERY_PROJECT, now_ns=now, actor="unknown", source=source,
                    action="key.refused", target=f"key {key_id}", detail={"reason": why},
                )
            )  # fmt: skip

    async def by_session(self, secret: str) -> Principal | None:
        """The person behind a session cookie, None when it is no longer valid."""
        digest = hashlib.sha256(b"session:" + secret.encode("utf-8", "replace")).digest()
        found = self._remembered(digest)
        if found is not None:
            return found
        now = self.services.wall_clock()
        session = await self.services.records.read(lambda c: access.find_session(c, secret, now))
        if session is None:
            return None
        if access.needs_extension(session, now):
            await self.services.records.write(lambda c: access.extend_session(c, secret, now))
        roles = MappingProxyType(dict(session.roles))
        made = Principal(f"user:{session.email}", "session", roles, csrf_token(secret), session.user_id)
        self._remember(digest, made)
        return made

    async def flush(self) -> None:
        """Write down when keys were last used; on a full disk a later call does."""
        used, self._last_used = self._last_used, {}
        if used:
            try:
                await self.services.records.write(lambda c: access.touch_keys(c, used))
            except StoreUnavailable:
                self._last_used = {**used, **self._last_used}

    async def drop_expired(self) -> None:
        """Delete login links and sessions that are over; on a full disk a later call does."""
        now = self.services.wall_clock()
        with contextlib.suppress(StoreUnavailable):
            await self.services.records.write(lambda c: access.drop_expired(c, now))

    async def identify(self, request: Request, route: Route) -> Principal:
        """Who is calling. Raises `HttpError` 401 for bad credentials; a caller without any is `ANONYMOUS`."""
        headers = request.headers
        if self.services.no_auth:
            _refuse_other_sites(request, self.services.config.current.server.public_url)
            return LOCAL
        key = key_in(headers, route.kind == "otlp")
        source = request.client.host if request.client else "local"
        # Where nothing is asked of a caller, credentials meant for somebody else (a proxy, an older key) are no reason to refuse.
        if key is not None and route.permission != "public":
            return await self.by_key(key, source)
        if route.kind == "otlp":
            return ANONYMOUS
        secret = request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE)
        if request.method in UNSAFE:
            _refuse_other_sites(request, self.services.config.current.server.public_url)
        if not secret:
            return ANONYMOUS
        return await self.by_session(secret) or ANONYMOUS


def _refuse_other_sites(request: Request, public_url: str | None) -> None:
    if request.method in UNSAFE and (why := cross_site(request.headers, public_url)):
        raise HttpError(403, f"refused: {why}", "use the page of this server itself, or an API key")


async def check_csrf(request: Request, principal: Principal) -> None:
    """Require the session's token on everything that changes something. Raises `HttpError` 403."""
    if principal.kind != "session" or request.method not in UNSAFE:
        return
    given = request.headers.get("x-csrf-token")
    if given is None:
        value = (await sent_form(request)).get("csrf")
        given = value if isinstance(value, str) else None
    if given is None or not hmac.compare_digest(given.encode(), (principal.csrf or "").encode()):
        raise HttpError(403, "the form is out of date", "load the page again and repeat what you did")


@lru_cache(1024)
def named_project(name: str) -> str:
    """The name itself when it may name a project. Raises `AccessRefused`: also for a key or a card number that was given in its
    place, because it would be stored with everything."""
    access.check_project(name)
    if any(found.kind in UNNAMED for found in find(name)):
        raise access.AccessRefused(
            f"there can be no project {name[:80]!r}",
            "it looks like a key or a card number, which belongs somewhere else",
        )
    return name


def asked_project(asked: str, principal: Principal) -> str:
    """The project a caller asks for by name. Raises `HttpError`: 400 for a name that no project can have, 403 for a project that is
    not the caller's."""
    try:
        named_project(asked)
    except access.AccessRefused as error:
        raise HttpError(400, str(error), error.hint) from None
    if principal.role_in(asked) is None and principal is not ANONYMOUS:
        raise HttpError(403, f"you have no role in the project {asked!r}", "leave it out, or ask an admin")
    return asked


def _written(header: str) -> str:
    """A header as its sender wrote it: they arrive as Latin-1, and who writes one beyond ASCII writes UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def project_of(request: Request, principal: Principal) -> str:
    """The project a request is about: by header, `?project=`, the page's cookie, or the caller's own.

    Raises `HttpError`: 400 for a malformed name, 403 for a project that is not the caller's.
    """
    asked = _written(request.headers.get(PROJECT_HEADER, "")) or request.query_params.get("project")
    if asked is not None:
        return asked_project(asked, principal)
    kept = request.cookies.get(PROJECT_COOKIE) if principal.kind != "key" else None
    if kept and principal.role_in(kept) is not None and kept != EVERY_PROJECT:
        return kept
    if DEFAULT_PROJECT in principal.roles or EVERY_PROJECT in principal.roles:
        return DEFAULT_PROJECT
    return min(principal.roles, default=DEFAULT_PROJECT)


def authorise(route: Route, principal: Principal, project: str) -> None:
    """Raises `HttpError` 401 for nobody and 403 for somebody without the permission."""
    if route.permission == "public":
        return
    if principal is ANONYMOUS:
        raise HttpError(401, NO_KEY, KEY_HINT, CHALLENGE)
    role = principal.role_in(project)
    if not allows(role, route.permission):
        have = f"your role here is {role}" if role else "you have no role in this project"
        raise HttpError(403, f"this needs the permission {route.permission}", have)
