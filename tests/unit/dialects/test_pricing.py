"""Which price a model's name means, in the spellings of clients and clouds."""

import pytest

from watchkeeper.config.adapters import prices_of
from watchkeeper.config.models import Config
from watchkeeper.dialects.pricing import default_table, find


def priced(provider: str | None, model: str) -> float | None:
    """Dollars for a million input tokens."""
    found = find(default_table(), provider, model)
    return None if found is None else found.input


@pytest.mark.parametrize(
    ("provider", "model", "same"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "chatgpt-4o-latest", "chatgpt-4o"),
        ("azure", "gpt-35-turbo-16k", "gpt-3.5-turbo-16k"),
        ("litellm", "azure/gpt-4o", "gpt-4o"),
        ("openrouter", "anthropic/claude-3.5-sonnet", "claude-3-5-sonnet"),
        ("openrouter", "x-ai/grok-4", "grok-4"),
        ("openai", "deepseek-chat", "deepseek-chat"),
        ("openai", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("aws.bedrock", "jp.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku"),
        ("aws.bedrock", "us-gov.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
        ("aws.bedrock", "us.amazon.nova-lite-v1:0", "nova-lite"),
        ("google", "claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet"),
        ("google", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
        ("google", "models/gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "ft:gpt-4o-mini"),
        ("cohere", "command-r-plus-08-2024", "command-r-plus"),
    ],
)  # fmt: skip
def test_a_model_has_its_price_however_it_is_spelled(provider: str, model: str, same: str) -> None:
    assert priced(provider, model) == priced(None, same) is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-audio-preview"),
        ("anthropic", "claude-opus-4-7"),
        ("azure", "our-gpt4o-deployment"),
        ("openrouter", "google/gemini-2.5-flash:free"),
        ("ollama", "mistral-small"),
        ("vllm", "mistralai/mistral-small-2503"),
        ("openai", "mistral-small"),
    ],
)
def test_another_model_or_a_model_at_home_has_no_price(provider: str, model: str) -> None:
    assert priced(provider, model) is None


def test_a_dated_name_with_a_price_of_its_own_has_that_one() -> None:
    assert priced("openai", "gpt-4-1106-preview") == 10
    assert priced("openai", "gpt-4-0613") == priced("openai", "gpt-4") == 30


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("azure", "our-GPT4o-deployment"),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-70b-instruct"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/abc"),
        ("ollama", "llama3:8b"),
        ("openrouter", "google/gemini-2.5-flash:free"),
    ],
)
def test_a_price_of_ones_own_holds_for_the_name_that_is_listed_as_unknown(provider: str, model: str) -> None:
    own = {"provider": provider, "model": model, "input": 7.0, "output": 8.0}
    table = prices_of(Config.model_validate({"price": (own,)}))
    found = find(table, provider, model)
    assert found is not None and found.input == 7.0
    assert find(table, "azure", "gpt-4o") == find(default_table(), "openai", "gpt-4o")
