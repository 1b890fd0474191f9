"""Any OpenAI-compatible chat completions endpoint: OpenAI, Azure, Gemini's compatible one, vLLM, Ollama, xllamacpp, …"""

from typing import Any, cast

from watchkeeper.llm.http import JsonClient, whole
from watchkeeper.llm.port import Price, ProviderError, SessionFactory, no_price, split
from watchkeeper.model.prompt import Prompt, Reply

BASE_URL = "https://api.openai.com/v1"


class OpenAI:
    """`structured` asks for JSON by schema (`schema`), as an object (`object`) or not at all (`none`), for servers that
    do not know it; what comes back is parsed strictly in any case."""

    def __init__(
        self,
        sessions: SessionFactory,
        api_key: str = "",
        base_url: str = BASE_URL,
        *,
        name: str = "openai",
        timeout_s: float = 60.0,
        structured: str = "schema",
        price: Price = no_price,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._client = JsonClient(sessions, timeout_s)
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {**({"Authorization": f"Bearer {api_key}"} if api_key else {}), **(headers or {})}
        self._name = name
        self._structured = structured
        self._price = price

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        _, model = split(prompt.model)
        messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages += [{"role": t.role, "content": t.text} for t in prompt.turns]
        reasoning = model.startswith(("o1", "o3", "o4", "gpt-5"))
        body: dict[str, Any] = {"model": model, "messages": messages}
        # Reasoning models refuse a temperature and count hidden tokens against the limit.
        body |= (
            {"max_completion_tokens": prompt.max_tokens * 4}
            if reasoning
            else {"temperature": prompt.temperature, "max_tokens": prompt.max_tokens}
        )
        if prompt.json_schema is not None and self._structured == "schema":
            schema = {"name": "reply", "strict": True, "schema": _without_ranges(prompt.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif prompt.json_schema is not None and self._structured == "object":
            body["response_format"] = {"type": "json_object"}
        return body

    async def ask(self, prompt: Prompt) -> Reply:
        """One completion. Raises ProviderError."""
        answer = await self._client.post(self._url, self._headers, self._body(prompt))
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise ProviderError("bad_reply", "the answer has no choices")
        choice = cast("dict[str, Any]", choices[0])
        message = choice.get("message")
        said = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        text, refused = _text(said.get("content")), said.get("refusal")
        if not text and isinstance(refused, str) and refused:
            text, choice = refused, {"finish_reason": "refusal"}
        usage = cast("dict[str, Any]", answer.get("usage") if isinstance(answer.get("usage"), dict) else {})
        tokens_in, tokens_out = whole(usage.get("prompt_tokens")), whole(usage.get("completion_tokens"))
        model = str(answer.get("model") or split(prompt.model)[1])
        return Reply(
            text=text,
            model=model,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost=self._price(self._name, model, tokens_in, tokens_out),
            finish_reason=str(choice.get("finish_reason") or "") or None,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _text(content: Any) -> str:
    """A message's text. Models that think aloud (Magistral) answer in parts, of which those of type `text` are the answer."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(p, dict) for p in cast("list[Any]", content)):
        raise ProviderError("bad_reply", "the answer's content is not a text")
    parts = cast("list[dict[str, Any]]", content)
    return "".join(str(p.get("text") or "") for p in parts if p.get("type") == "text")


def _without_ranges(schema: Any) -> Any:
    """Strict structured output does not know numeric ranges; the parser enforces them."""
    if isinstance(schema, dict):
        items = cast("dict[str, Any]", schema).items()
        return {k: _without_ranges(v) for k, v in items if k not in ("minimum", "maximum")}
    if isinstance(schema, list):
        return [_without_ranges(v) for v in cast("list[Any]", schema)]
    return schema
