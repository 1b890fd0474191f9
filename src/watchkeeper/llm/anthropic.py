"""Anthropic's messages API."""

from typing import Any, cast

from watchkeeper.llm.http import JsonClient, whole
from watchkeeper.llm.port import Price, ProviderError, SessionFactory, no_price, split
from watchkeeper.model.prompt import Prompt, Reply

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"


class Anthropic:
    """Asks without tools; JSON is requested in words and parsed strictly."""

    def __init__(
        self,
        sessions: SessionFactory,
        api_key: str,
        base_url: str = BASE_URL,
        *,
        name: str = "anthropic",
        timeout_s: float = 60.0,
        price: Price = no_price,
    ) -> None:
        self._client = JsonClient(sessions, timeout_s)
        self._url = base_url.rstrip("/") + "/v1/messages"
        self._headers = {"x-api-key": api_key, "anthropic-version": VERSION}
        self._name = name
        self._price = price

    async def ask(self, prompt: Prompt) -> Reply:
        """One message. Raises ProviderError."""
        body: dict[str, Any] = {
            "model": split(prompt.model)[1],
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "messages": [{"role": t.role, "content": t.text} for t in prompt.turns],
        }
        if prompt.system:
            body["system"] = prompt.system
        answer = await self._client.post(self._url, self._headers, body)
        blocks = answer.get("content")
        if not isinstance(blocks, list):
            raise ProviderError("bad_reply", "the answer has no content")
        found = [cast("dict[str, Any]", b) for b in cast("list[Any]", blocks) if isinstance(b, dict)]
        texts = [str(b.get("text", "")) for b in found if b.get("type") == "text"]
        usage = cast("dict[str, Any]", answer.get("usage") if isinstance(answer.get("usage"), dict) else {})
        cached = [
            whole(usage.get(k)) or 0 for k in ("cache_read_input_tokens", "cache_creation_input_tokens")
        ]
        fresh = whole(usage.get("input_tokens"))
        tokens_in = None if fresh is None else fresh + sum(cached)
        tokens_out = whole(usage.get("output_tokens"))
        model = str(answer.get("model") or split(prompt.model)[1])
        return Reply(
            text="".join(texts),
            model=model,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost=self._price(self._name, model, tokens_in, tokens_out),
            finish_reason=str(answer.get("stop_reason") or "") or None,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
