"""What a call costs by our own price table: data with a version, longest-prefix match, unknown is None."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from watchkeeper.model.span import LLM, Usage


class Price(msgspec.Struct, frozen=True):
    """US dollars for a million tokens of one kind, and for a request. None: charged as `input` or `output`.

    With `above_tokens`, a request whose input is larger pays `above` instead.
    """

    input: float
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None
    request: float = 0.0
    above_tokens: int | None = None
    above: "Price | None" = None


class Table(msgspec.Struct, frozen=True):
    """A price table. `models` maps provider -> model name or prefix, in lower case, -> price; `aliases` maps a provider to another."""

    version: str
    models: dict[str, dict[str, Price]]
    aliases: dict[str, str] = {}


@lru_cache(maxsize=1)
def default_table() -> Table:
    """The table shipped with the product, `prices.json` beside this file."""
    return load((Path(__file__).parent / "prices.json").read_bytes())


def load(data: bytes) -> Table:
    """A table from its JSON; raises `msgspec.ValidationError` naming the field that is wrong."""
    return msgspec.json.decode(data, type=Table)


_in_force: list[Table] = []


def use(table: Table) -> None:
    """Price from now on with this table (the shipped one with the configuration's own prices over it)."""
    _in_force[:] = [table]
    _find.cache_clear()


def in_force() -> Table:
    """The table that prices calls now."""
    return _in_force[0] if _in_force else default_table()


@lru_cache(maxsize=4096)
def _find(provider: str | None, model: str) -> Price | None:
    return find(in_force(), provider, model)


def find(table: Table, provider: str | None, model: str) -> Price | None:
    """The price of `model`: the entry with its very name, else the longest entry that is its name before a snapshot suffix.

    `gpt-4o-mini-2024-07-18` is priced as `gpt-4o-mini`; `gpt-4o-mini-audio-preview` and `claude-opus-4-7` (of `claude-opus-4`)
    are other models: only a date, a revision or `latest` may follow. Looked at are the provider's own entries, those of the maker
    that the name tells (`anthropic/…`, `us.anthropic.…`), then everybody's; a maker itself sells nobody else's models, but its
    client may be pointed at a cloud that does, and weights that run at home cost what nobody here knows.
    """
    spelled = model.strip().lower()
    name, makers = _bare(spelled)
    owner = table.aliases.get(provider, provider) if provider else None
    groups = [g for g in (provider, owner) if g in table.models]
    for group in groups:
        if (exact := table.models[group].get(spelled)) is not None:
            return exact
    if provider not in _AT_HOME:
        groups += [g for m in makers if (g := table.aliases.get(m, m)) in table.models]
        groups += _UNIQUE if provider in _MAKERS else table.models
    return next((p for g in groups if (p := _longest(table.models.get(g, {}), name)) is not None), None)


_MAKERS = frozenset(("openai", "anthropic", "cohere", "deepseek", "mistral", "xai", "groq"))
# Makers whose models have names that nobody's own weights have.
_UNIQUE = ("openai", "anthropic", "google", "deepseek", "xai")
_AT_HOME = frozenset(
    (
        "ollama",
        "vllm",
        "huggingface",
        "lmstudio",
        "lm_studio",
        "llamacpp",
        "sglang",
        "tgi",
        "local",
        "localai",
    )
)
_BEDROCK = re.compile(
    r"(?:[a-z-]{2,6}\.)?(ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|openai|qwen|writer)\.(.+)"
)
_SNAPSHOT = re.compile(
    r"(?:[-@:](?:(?:preview|exp)(?:-\d\d-\d\d)?|latest|v[\d.]+(?::\d+)?|\d+:\d+|\d{4}-\d\d-\d\d|\d\d-\d{4}|\d{3,8}))*"
)


def _bare(model: str) -> tuple[str, list[str]]:
    """A model's own name, and whom its spelling names as the maker or the cloud."""
    *path, name = model.removeprefix("models/").split("/")
    made = _BEDROCK.fullmatch(name)
    if made is not None:
        path, name = [*path, made.group(1)], made.group(2)
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    if name.startswith("claude"):
        name = re.sub(r"(?<=\d)\.(?=\d)", "-", name)
    # Azure's names of deployments may have no dots.
    return ("gpt-3.5" + name[6:] if name.startswith("gpt-35") else name), path


def _longest(prices: dict[str, Price], name: str) -> Price | None:
    known = (p for p in prices if name.startswith(p) and _SNAPSHOT.fullmatch(name, len(p)))
    return prices[longest] if (longest := max(known, key=len, default=None)) is not None else None


def cost_of(price: Price, usage: Usage) -> float | None:
    """Dollars of one call; None when a token count it needs is unknown."""
    if usage.input_tokens is None or (usage.output_tokens is None and price.output):
        return None
    if price.above is not None and price.above_tokens is not None and usage.input_tokens > price.above_tokens:
        price = price.above
    cached = min(usage.cached_input_tokens or 0, usage.input_tokens)
    written = min(usage.cache_write_tokens or 0, usage.input_tokens - cached)
    output = usage.output_tokens or 0
    reasoning = min(usage.reasoning_output_tokens or 0, output)
    total = (usage.input_tokens - cached - written) * price.input
    total += cached * (price.input if price.cached is None else price.cached)
    total += written * (price.input if price.cache_write is None else price.cache_write)
    total += (output - reasoning) * price.output
    total += reasoning * (price.output if price.reasoning is None else price.reasoning)
    return total / 1e6 + price.request


def price(llm: LLM, table: Table | None = None) -> tuple[float | None, str]:
    """The cost of a call in US dollars and the version of the table that says so; None when model or usage is unknown."""
    model: Any = llm.response_model or llm.request_model
    version = (table or in_force()).version
    if not model:
        return None, version
    found = find(table, llm.provider, model) if table else _find(llm.provider, model)
    if found is None and llm.response_model and llm.request_model:
        found = find(table or in_force(), llm.provider, llm.request_model)
    return (None if found is None else cost_of(found, llm.usage)), version
