"""Outgoing HTTP: checked before the request, at resolution and at connect; no redirects, no proxies, bounded."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from watchkeeper.egress.policy import EgressRefused, Policy

Resolve = Callable[[str, int], Awaitable[list[str]]]


async def system_resolve(host: str, port: int) -> list[str]:
    """Every address the system's resolver gives for `host`, IPv4 and IPv6."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _why(error: BaseException) -> str:
    """In words, why nothing came back. Never the library's own text, which can quote bytes the other side sent."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not lead to an address"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no secure connection could be made: its certificate is not accepted, or it does not speak TLS"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ECONNREFUSED:
        return "nobody listens there (connection refused)"
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "there is no way to it from here (unreachable)"
    if number in (errno.ECONNRESET, errno.EPIPE):
        return "it cut the connection"
    return f"the connection failed ({type(error).__name__})"


@dataclass(frozen=True)
class Answer:
    """What came of a request, as data.

    `status` is None when no answer arrived; `reason` then says why in words that are safe to show. `refused` means
    the policy forbade it, so trying again cannot help. `body` is for the caller's own parsing and must never be
    shown to a user: it may come from a host the user chose.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    reason: str = ""
    refused: bool = False


class _PinnedResolver(AbstractResolver):
    """Resolves a name once per connection and hands on only addresses the policy permits; aiohttp then connects
    to exactly these, so a second DNS answer has nowhere to go."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self.granted: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        permitted: list[ResolveResult] = []
        for text in await self._resolve(host, port):
            if "%" in text:
                continue
            address = ipaddress.ip_address(text)
            if self._policy.permits(host.lower().removesuffix("."), port, address):
                self.granted.add((text, port))
                version = socket.AF_INET if address.version == 4 else socket.AF_INET6
                permitted.append(
                    ResolveResult(
                        hostname=host,
                        host=text,
                        port=port,
                        family=version,
                        proto=0,
                        flags=socket.AI_NUMERICHOST,
                    )
                )
        if not permitted:
            raise EgressRefused(f"{host} does not resolve to an address that is allowed on port {port}")
        return permitted

    async def close(self) -> None:
        """Nothing is held open."""


class Egress:
    """Makes client sessions that can only reach what `policy` permits. Close it when done.

    `resolve` replaces DNS in tests. `connections` counts sockets opened, which is what a test of refusals asserts.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        resolve: Resolve = system_resolve,
        timeout_s: float = 10.0,
        max_answer_bytes: int = 1_000_000,
    ) -> None:
        self.policy = policy if policy is not None else Policy()
        self.timeout_s = timeout_s
        self.max_answer_bytes = max_answer_bytes
        self.connections = 0
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None

    def session(self, timeout_s: float | None = None, **options: Any) -> aiohttp.ClientSession:
        """A session for callers that stream or speak a provider's protocol; they close it themselves.

        Every request made with it is checked. Redirects are not followed, the environment's proxies are ignored and
        cookies are not kept.
        """
        resolver = _PinnedResolver(self.policy, self._resolve)

        def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
            family, kind, proto, _, sockaddr = info
            host, port = str(sockaddr[0]), int(sockaddr[1])
            literal = host.partition("%")[0]
            if (host, port) not in resolver.granted and not self.policy.permits(
                literal, port, ipaddress.ip_address(literal)
            ):
                raise EgressRefused(f"{host}:{port} is not an allowed address")
            self.connections += 1
            made = socket.socket(family, kind, proto)
            made.setblocking(False)
            return made

        connector = aiohttp.TCPConnector(
            resolver=resolver, use_dns_cache=False, socket_factory=guarded_socket, limit=64
        )
        return aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_s if timeout_s is not None else self.timeout_s),
            middlewares=(self._check,),
            **options,
        )

    async def _check(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.proxy is not None:
            raise EgressRefused("proxies are not used")
        self.policy.check(str(request.url))
        return await handler(request)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request, at most `timeout_s` long and `max_answer_bytes` of answer. Never raises for the network.

        The URL is checked as written, before any library has tidied it.
        """
        try:
            self.policy.check(url)
            if self._session is None or self._session.closed:
                self._session = self.session()
            async with self._session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s if timeout_s is not None else self.timeout_s),
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(65536):
                    content += chunk
                    if len(content) > self.max_answer_bytes:
                        response.close()
                        reason = f"the answer is longer than {self.max_answer_bytes} bytes"
                        return Answer(response.status, dict(response.headers), b"", reason)
                return Answer(response.status, dict(response.headers), bytes(content))
        except EgressRefused as refused:
            return Answer(None, reason=str(refused), refused=True)
        except TimeoutError:
            return Answer(None, reason="no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._explain(error)

    @staticmethod
    def _explain(error: BaseException) -> Answer:
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, EgressRefused):
                return Answer(None, reason=str(seen), refused=True)
            if isinstance(seen, aiohttp.InvalidURL):
                return Answer(None, reason="not a URL that can be requested", refused=True)
            seen = seen.__cause__ or seen.__context__
        return Answer(None, reason=_why(error))

    async def close(self) -> None:
        """Close the session this object made for `request`."""
        if self._session is not None:
            await self._session.close()
