"""What a call costs by our own price table: data with a version, longest-prefix match, unknown is None."""

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
    """A price table. `models` maps provider -> model name or prefix -> price; `aliases` maps a provider to another."""

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
    """The price of `model`: its own entry, else the longest entry that is a prefix of it before a snapshot suffix.

    `gpt-4o-mini-2024-07-18` is priced as `gpt-4o-mini`; `gpt-4o-mini-audio-preview` is not: only a date, a version
    number or `latest` may follow. Without a provider every provider's models are searched.
    """
    name = model.lower().removeprefix("models/").rsplit("/", 1)[-1]
    for vendor in ("us.", "eu.", "apac.", "global.", "anthropic.", "meta.", "mistral.", "amazon."):
        name = name.removeprefix(vendor)
    owner = table.aliases.get(provider, provider) if provider else None
    # A cloud that serves other makers' models (Bedrock, Vertex) charges close to their own list prices.
    own = owner in table.models and owner != "google"
    groups = [table.models[owner]] if own and owner is not None else list(table.models.values())
    best: tuple[int, Price] | None = None
    for group in groups:
        for prefix, price in group.items():
            if (
                name.startswith(prefix)
                and _snapshot(name[len(prefix) :])
                and (best is None or len(prefix) > best[0])
            ):
                best = (len(prefix), price)
    return best[1] if best else None


def _snapshot(rest: str) -> bool:
    """Whether `rest` only pins a version: nothing, -2024-07-18, -20250929, @20250929, -v1:0, -001, -latest, -preview-05-20."""
    rest = rest.replace("preview", "").replace("latest", "").replace("exp", "")
    return all(c.isdigit() or c in "-@.:v_" for c in rest) and (not rest or rest[0] in "-@:")


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
