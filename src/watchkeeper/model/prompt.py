"""What is asked of a language model and what it answered. Used by judges (rules) and by `llm/` (the port)."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec


class Turn(msgspec.Struct, frozen=True):
    """One message of a prompt; `role` is user or assistant."""

    role: str
    text: str


class Prompt(msgspec.Struct, frozen=True):
    """One request. `model` is `provider:model` (pinned); `json_schema` asks for structured output where the provider
    has it, and never replaces strict parsing of what came back."""

    model: str
    system: str
    turns: tuple[Turn, ...]
    temperature: float = 0.0
    max_tokens: int = 1024
    json_schema: dict[str, Any] | None = None


class Reply(msgspec.Struct, frozen=True):
    """One answer. `model` is what the provider says served it; tokens and `cost` (USD) are None when unknown."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    finish_reason: str | None = None


# How a prompt is answered, whoever answers it.
Ask = Callable[[Prompt], Awaitable[Reply]]
