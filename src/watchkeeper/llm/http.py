"""One JSON request to a provider, every way it can fail sorted into `ProviderError` kinds."""

import asyncio
from typing import Any, cast

import aiohttp
import msgspec

from watchkeeper.llm.port import ProviderError, SessionFactory
from watchkeeper.model.times import wished_s

MAX_BODY = 8 << 20


def _message(body: bytes) -> str:
    """The provider's own words about an error, short. Never the request, which may hold content."""
    try:
        document: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:200].decode("utf-8", "replace")
    error = cast("dict[str, Any]", document).get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        return str(cast("dict[str, Any]", error).get("message", ""))[:300]
    return str(error or "")[:300]


def _failed(status: int, body: bytes, headers: Any) -> ProviderError:
    message = f"HTTP {status} {_message(body)}"
    wait = wished_s(headers.items())
    if status == 429:
        return ProviderError("rate_limit", message, wait)
    if status in (408, 409, 425) or status >= 500:
        return ProviderError("server", message, wait)
    if status in (401, 403):
        # A revoked key is repaired by an operator, not by giving up on the traces.
        return ProviderError("server", f"{message}; check the provider's API key")
    if status == 404:
        return ProviderError("unknown_model", message)
    return ProviderError("refused", message)


class JsonClient:
    """Posts JSON within a deadline over one session. The deadline covers everything from connect to the last byte, so a
    provider that hangs or drips cannot hold a worker."""

    def __init__(self, sessions: SessionFactory, timeout_s: float) -> None:
        self._sessions = sessions
        self._timeout_s = timeout_s
        self._session: Any = None
        self._context: Any = None
        self._opening = asyncio.Lock()

    async def _open(self) -> Any:
        async with self._opening:
            if self._session is None:
                self._context = self._sessions()
                self._session = await self._context.__aenter__()
            return self._session

    async def post(self, url: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """The parsed answer of a 2xx. Raises ProviderError."""
        session = await self._open()
        try:
            async with asyncio.timeout(self._timeout_s):
                status, raw, answered = await self._exchange(session, url, headers, body)
        except TimeoutError as error:
            raise ProviderError("timeout", f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            raise ProviderError("connection", "the connection was cut") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError("connection", f"{type(error).__name__}: {error}"[:200]) from error
        if not 200 <= status < 300:
            raise _failed(status, raw, answered)
        try:
            document: Any = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProviderError("bad_reply", f"the answer is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ProviderError("bad_reply", "the answer is not a JSON object")
        return cast("dict[str, Any]", document)

    async def _exchange(
        self, session: Any, url: str, headers: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, bytes, Any]:
        data = msgspec.json.encode(body)
        request = {"Content-Type": "application/json", **headers}
        async with session.post(url, data=data, headers=request, allow_redirects=False) as response:
            raw = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                raw += chunk
                if len(raw) > MAX_BODY:
                    raise ProviderError("bad_reply", f"the answer is longer than {MAX_BODY} bytes")
            return response.status, bytes(raw), response.headers

    async def close(self) -> None:
        """Close the session."""
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
            self._session = self._context = None


def whole(value: Any) -> int | None:
    """A token count, None where it is not one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
