"""Which providers exist: adding one is a file and a line here."""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from watchkeeper.llm import anthropic, openai
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.llm.limits import Limited
from watchkeeper.llm.port import Price, Provider, ProviderError, SessionFactory, split
from watchkeeper.model.prompt import Prompt, Reply


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's settings. `protocol`: openai, anthropic or fake. `key_env` names the environment variable that holds
    the API key. `rate` is calls a second, None for no limit."""

    protocol: str = "openai"
    base_url: str | None = None
    key_env: str | None = None
    timeout_s: float = 60.0
    concurrency: int = 16
    rate: float | None = None
    structured: str = "schema"


DEFAULTS: dict[str, Settings] = {
    "openai": Settings(key_env="OPENAI_API_KEY"),
    "anthropic": Settings(protocol="anthropic", key_env="ANTHROPIC_API_KEY"),
    "gemini": Settings(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        structured="object",
    ),
    "mistral": Settings(base_url="https://api.mistral.ai/v1", key_env="MISTRAL_API_KEY", structured="object"),
    "openrouter": Settings(base_url="https://openrouter.ai/api/v1", key_env="OPENROUTER_API_KEY"),
    "ollama": Settings(base_url="http://127.0.0.1:11434/v1", structured="object"),
    "local": Settings(base_url="http://127.0.0.1:8080/v1", structured="none"),
    "fake": Settings(protocol="fake"),
}


def _make(
    name: str, settings: Settings, sessions: SessionFactory, price: Price, environment: Mapping[str, str]
) -> Any:
    key = environment.get(settings.key_env or "", "")
    if settings.key_env and not key:
        raise ProviderError(
            "server", f"the environment variable {settings.key_env} for provider {name} is not set"
        )
    if settings.protocol == "anthropic":
        base = settings.base_url or anthropic.BASE_URL
        return anthropic.Anthropic(sessions, key, base, name=name, timeout_s=settings.timeout_s, price=price)
    if settings.protocol == "fake":
        return FakeProvider()
    if settings.protocol != "openai":
        raise ValueError(f"protocol: {settings.protocol!r} is not allowed; one of openai, anthropic, fake")
    return openai.OpenAI(
        sessions,
        key,
        settings.base_url or openai.BASE_URL,
        name=name,
        timeout_s=settings.timeout_s,
        structured=settings.structured,
        price=price,
    )


class Providers:
    """All providers behind one `ask`: the prompt's model says which. Each is opened on first use."""

    def __init__(
        self,
        sessions: SessionFactory,
        own: Mapping[str, Settings] | None = None,
        *,
        price: Price,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`own` adds to or replaces `DEFAULTS`; `sessions` is egress's checked session factory; `price` says what a call cost,
        which is what budgets count; `environment` is where API keys are looked up (the process's own when None)."""
        self._sessions, self._price = sessions, price
        self._settings = {**DEFAULTS, **(own or {})}
        self._environment = os.environ if environment is None else environment
        self._open: dict[str, tuple[Provider, Any]] = {}

    async def ask(self, prompt: Prompt) -> Reply:
        """As the provider's. Raises ProviderError, also for a provider that is not configured."""
        try:
            name, _ = split(prompt.model)
        except ValueError as error:
            raise ProviderError("unknown_model", str(error)) from error
        if name not in self._settings:
            known = ", ".join(sorted(self._settings))
            raise ProviderError("unknown_model", f"provider {name!r} is not configured; known are {known}")
        if name not in self._open:
            settings = self._settings[name]
            inner = _make(name, settings, self._sessions, self._price, self._environment)
            self._open[name] = (Limited(inner, concurrency=settings.concurrency, rate=settings.rate), inner)
        return await self._open[name][0].ask(prompt)

    async def close(self) -> None:
        """Close every provider that was opened."""
        for _, inner in self._open.values():
            if hasattr(inner, "close"):
                await inner.close()
        self._open.clear()
