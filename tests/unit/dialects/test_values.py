"""The attribute layer, the tables of spellings, prices and sampling."""

import json
import subprocess
import sys

import pytest

from tests.unit.dialects.make import raw, span
from watchkeeper import dialects
from watchkeeper.dialects import common, pricing, spellings, values
from watchkeeper.model.span import LLM, Usage


def test_it_decodes_json_reprs_and_scalars_and_marks_cut_json() -> None:
    assert values.decode('{"a": [1, null]}') == {"a": [1, None]}
    assert values.decode('"quoted"') == "quoted"
    assert values.decode("{'a': None, 'b': True}") == {"a": None, "b": True}
    assert values.decode("plain text") == "plain text"
    assert values.decode("[not json]") == "[not json]"
    cut = values.decode('[{"role": "user", "content": "x')
    assert values.is_cut(cut) and cut == '[{"role": "user", "content": "x'
    assert values.is_cut(values.decode("{'a': " + "1" * values.REPR_LIMIT))
    assert (
        not values.is_cut("[done] ok") and not values.is_cut("{curly words") and not values.is_cut({"a": 1})
    )


def test_json_that_was_cut_anywhere_is_told_from_words_that_begin_in_a_bracket() -> None:
    said = {
        "role": "user",
        "parts": [{"type": "text", "content": 'a "b" é\n'}],
        "n": [-1.5e-3, True, None, False],
    }
    whole = json.dumps([said, {"a": {}}])
    assert all(values.is_cut(values.decode(whole[:at])) for at in range(3, len(whole)))
    words = ("[note] Capital?", "[1] What is it?", "{name}: hello", "[1, 2, 3] is a list?", "[2026-11-24] 3 lines",
             '["a" and b', "[first] or [false]", "{ curly } words", "[12] 3", "[-1, 1] range")  # fmt: skip
    for text in words:
        assert not values.is_cut(values.decode(text)), text
        told = span({"gen_ai.operation.name": "chat", "gen_ai.prompt": text, "gen_ai.completion": text}).llm
        assert told is not None and told.output_text == text and told.input_messages[0].text == text, text


def test_a_map_beside_its_flattened_form_is_not_changed() -> None:
    given = {"m.a": {"b": {"c": 1}}, "m.a.b.d": 2, "m.a.e": 3}
    assert values.nested(given, "m.") == {"a": {"b": {"c": 1, "d": 2}, "e": 3}}
    assert given["m.a"] == {"b": {"c": 1}}


def test_doubtful_escapes_in_printed_texts_are_no_lines_in_the_log() -> None:
    said = "from watchkeeper.dialects import printed, values\n"
    said += """print(values.decode(r"{'a': '\\d'}"), printed.objects(r"Message(role='\\d')"))"""
    done = subprocess.run([sys.executable, "-W", "default", "-c", said], capture_output=True, text=True)
    assert (done.stdout.count(r"\\d"), done.stderr) == (2, "")


def test_it_unflattens_lists_gaps_and_dicts() -> None:
    flat = {"m.1.role": "b", "m.0.role": "a", "m.10.role": "c", "m.1.tags.0": "x", "other": 1}
    assert values.nested(flat, "m.") == [{"role": "a"}, {"role": "b", "tags": ["x"]}, {"role": "c"}]
    assert values.nested(flat, "absent.") is None
    assert values.nested({"m.0": "text", "m.0.role": "user"}, "m.") == [{"role": "user"}]


@pytest.mark.parametrize(
    "text", ["[Scrubbed due to 'session']", "[REDACTED]", "<redacted>", "***", "[Filtered]", "xxxxxxxx"]
)
def test_it_takes_no_scrubbed_value_for_an_id(text: str) -> None:
    assert values.identifier(text) is None
    assert span({"session.id": text}).context.session_id is None


@pytest.mark.parametrize(
    ("raw_word", "calls", "reason"),
    [("stop", False, "stop"), ("stop", True, "tool_calls"), ("completed", True, "tool_calls"), ("end_turn", False, "stop"),
     ("STOP", False, "stop"), ("tool-calls", True, "tool_calls"), ("tool_use", True, "tool_calls"), ("max_tokens", False, "length"),
     ("length", True, "length"), ("max_output_tokens", False, "length"), ("SAFETY", False, "content_filter"), ("refusal", False, "refusal"),
     ("FinishReason.STOP", False, "stop"), ("error", False, None), (None, True, None), ("whatever", False, None)],
)  # fmt: skip
def test_it_normalises_finish_reasons(raw_word: str | None, calls: bool, reason: str | None) -> None:
    assert spellings.finish_reason(raw_word, calls) == reason


@pytest.mark.parametrize(
    ("kind", "message", "status", "name"),
    [("openai.RateLimitError", None, None, "rate_limit"), ("Exception", "Error code: 429 - slow down", None, "rate_limit"),
     ("APITimeoutError", "Request timed out.", None, "timeout"), ("litellm.Timeout", None, None, "timeout"),
     ("BadRequestError", "maximum context length is 8192 tokens", 400, "context_length_exceeded"),
     ("BadRequestError", "invalid value", None, "bad_request"), ("AuthenticationError", None, 401, "bad_request"),
     ("InternalServerError", None, None, "server_error"), ("APIConnectionError", "Connection error.", None, "server_error"),
     ("AI_APICallError", "Rate limit reached for requests", None, "rate_limit"), ("AI_APICallError", "odd", None, "server_error"),
     ("ThrottlingException", None, None, "rate_limit"), ("overloaded_error", None, 529, "server_error"),
     ("ContextWindowExceededError", None, 400, "context_length_exceeded"), ("ValueError", "no idea", None, None),
     ("NotFoundError", "no such model", None, "bad_request"), ("ModuleNotFoundError", "No module named 'mcp'", None, None)],
)  # fmt: skip
def test_it_classes_errors(kind: str, message: str | None, status: int | None, name: str | None) -> None:
    assert spellings.error_class(kind, message, status) == name


@pytest.mark.parametrize(
    ("raw_word", "name"),
    [("openai.chat", "openai"), ("Anthropic", "anthropic"), ("gcp.vertex_ai", "google"), ("aws.bedrock", "aws.bedrock"),
     ("azure.ai.openai", "azure"), ("strands-agents", None), ("langchain", None), ("my-llm", "my-llm"), ("", None)],
)  # fmt: skip
def test_it_names_providers_but_not_frameworks(raw_word: str, name: str | None) -> None:
    assert spellings.provider(raw_word) == name


def test_it_knows_an_alias_from_the_model_that_served_it() -> None:
    assert spellings.is_echo("gpt-4o-mini", "gpt-4o-mini", None)
    assert not spellings.is_echo("gemini-2.5-pro", "gemini-2.5-pro", None)
    assert not spellings.is_echo("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "openai")
    assert spellings.family("gpt-4o-mini-2024-07-18") == "gpt-4o-mini" and spellings.family("o3") == "o3"


def _cost(model: str, usage: Usage, provider: str | None = None) -> float | None:
    return dialects.price(LLM(provider=provider, response_model=model, usage=usage))[0]


def test_it_prices_each_kind_of_token_once() -> None:
    usage = Usage(1_000_000, 1_000_000, cached_input_tokens=400_000, reasoning_output_tokens=300_000)
    assert _cost("gpt-4o-mini-2024-07-18", usage) == pytest.approx(0.6 * 0.15 + 0.4 * 0.075 + 0.6)
    usage = Usage(100_000, 1_000, cached_input_tokens=50_000, cache_write_tokens=10_000)
    assert _cost("claude-sonnet-4-5-20250929", usage) == pytest.approx(
        (40_000 * 3 + 50_000 * 0.3 + 10_000 * 3.75 + 15_000) / 1e6
    )
    assert _cost("claude-sonnet-4-5", Usage(300_000, 0)) == pytest.approx(0.3 * 6)
    assert _cost("text-embedding-3-small", Usage(1_000_000)) == pytest.approx(0.02)
    assert _cost(
        "us.anthropic.claude-3-haiku-20240307-v1:0", Usage(1_000_000, 0), "aws.bedrock"
    ) == pytest.approx(0.25)


def test_unknown_models_and_unknown_counts_have_no_price() -> None:
    assert _cost("llama-3-70b", Usage(10, 10)) is None
    assert _cost("gpt-4o-mini-audio-preview", Usage(10, 10)) is None
    assert _cost("gpt-4o-mini", Usage(None, 10)) is None and _cost("gpt-4o-mini", Usage(10, None)) is None
    assert dialects.price(LLM())[1] == pricing.default_table().version


def test_a_table_of_ones_own_replaces_the_prices() -> None:
    table = pricing.load(
        b'{"version": "mine", "models": {"openai": {"gpt-4o": {"input": 1, "output": 2, "request": 0.5}}}}'
    )
    llm = LLM(provider="openai", request_model="gpt-4o", usage=Usage(1_000_000, 1_000_000))
    assert pricing.price(llm, table) == (3.5, "mine")


@pytest.mark.parametrize(
    ("state", "attributes", "probability"),
    [("ot=th:8", {}, 0.5), ("vendor=1,ot=rv:0;th:c", {}, 0.25), ("ot=th:0", {}, 1.0), ("ot=p:3", {}, 0.125), ("ot=th:zz", {}, None),
     ("", {"sampling.probability": 0.1}, 0.1), ("", {"SampleRate": 20}, 0.05), ("", {"sampler.type": "probabilistic", "sampler.param": 0.2}, 0.2),
     ("", {"sampling.probability": 7}, None), ("", {}, None)],
)  # fmt: skip
def test_it_honours_head_sampling(
    state: str, attributes: dict[str, object], probability: float | None
) -> None:
    assert common.keep_probability(state, attributes, {}) == probability
    assert dialects.normalise(raw(attributes, trace_state=state)).keep_probability == probability


def test_it_takes_documents_from_every_shape() -> None:
    shapes = [
        [{"id": "d1", "score": 0.5, "content": "x"}],
        '[{"page_content": "x", "metadata": {"id": "d1", "score": 0.5}}]',
        {"documents": [{"document": {"id": "d1", "score": 0.5, "content": "x"}}]},
        [[{"id": "d1", "text": "x"}, 0.5]],
        [{"node": {"id_": "d1", "text": "x"}, "score": 0.5}],
        [
            {
                "lc": 1,
                "id": ["langchain", "Document"],
                "kwargs": {"id": "d1", "page_content": "x", "metadata": {"score": 0.5}},
            }
        ],
    ]
    for shape in shapes:
        found = common.documents(shape)
        assert found is not None and (found[0].id, found[0].score, found[0].content) == ("d1", 0.5, "x")
    assert common.documents([5]) is None and common.documents({"a": 1}) is None and common.documents([]) == []


def test_an_empty_result_is_no_tool_error() -> None:
    for result in ("", "[]", "{}", "null", "0 errors"):
        made = span(
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "t",
                "gen_ai.tool.call.result": result,
            }
        )
        assert made.tool is not None and made.tool.error is None and made.error is None


def test_a_parameter_larger_than_any_count_stays_the_number_that_was_sent() -> None:
    sent = {"gen_ai.operation.name": "chat", "gen_ai.request.max_tokens": 1e30, "gen_ai.request.seed": 7.0}
    params = span(sent).llm.params  # type: ignore[union-attr]
    assert params == {"max_tokens": 1e30, "seed": 7} and isinstance(params["max_tokens"], float)


def test_a_whole_number_sent_as_a_fraction_is_the_number() -> None:
    assert values.word(3.0) == "3" and values.word(1.5) == "1.5" and values.identifier(17.0) == "17"
