"""Tables of spellings: what clients call kinds, providers, finish reasons and errors, and what we call them."""

import re
from functools import lru_cache

KIND_OF_OPERATION: dict[str, str] = {
    **dict.fromkeys(("chat", "generate_content", "text_completion", "completion", "completions", "fetch_response",
                     "responses", "response", "message", "messages", "generate", "image_generation",
                     "anthropic_messages", "transcription", "speech", "audio", "llm", "realtime", "interactions", "interaction"), "llm"),
    **dict.fromkeys(("embeddings", "embedding", "embed", "embedder"), "embedding"),
    **dict.fromkeys(("retrieval", "retrieve", "retriever", "vector_db_retrieve", "vector_db_search", "search"), "retrieval"),
    **dict.fromkeys(("execute_tool", "tool", "tool_call", "function", "llm_tool_call", "tool_execution", "call_tool"), "tool"),
    **dict.fromkeys(("invoke_agent", "agent", "create_agent", "agent_call"), "agent"),
    **dict.fromkeys(("invoke_workflow", "workflow", "chain", "execute_task", "task", "agent_step", "plan",
                     "execute_event_loop_cycle", "handoff", "invoke_swarm", "invoke_graph",
                     # Gemini CLI's spans; its log records tell each call, with the cached part and the thoughts.
                     "llm_call", "schedule_tool_calls", "user_prompt", "system_prompt"),
                    "workflow"),
    **dict.fromkeys(("search_memory", "update_memory", "create_memory", "create_memory_store", "delete_memory",
                     "delete_memory_store", "upsert_memory", "memory"), "memory"),
    **dict.fromkeys(("apply_guardrail", "guardrail", "guardrail_check", "moderation"), "guardrail"),
    **dict.fromkeys(("evaluate", "evaluation", "evaluator"), "evaluator"),
    **dict.fromkeys(("rerank", "reranker"), "rerank"),
}  # fmt: skip

_PROVIDERS: tuple[tuple[str, str], ...] = (
    # Most specific first: an Azure or Bedrock deployment is the provider, not the model's maker.
    ("azure", "azure"), ("az.ai", "azure"), ("foundry", "azure"), ("bedrock", "aws.bedrock"), ("aws", "aws.bedrock"), ("amazon", "aws.bedrock"),
    ("vertex", "google"), ("gemini", "google"), ("google", "google"), ("gcp", "google"),
    ("openrouter", "openrouter"), ("openai", "openai"), ("anthropic", "anthropic"), ("claude", "anthropic"),
    ("mistral", "mistral"), ("cohere", "cohere"), ("groq", "groq"), ("deepseek", "deepseek"),
    ("perplexity", "perplexity"), ("xai", "xai"), ("x_ai", "xai"), ("grok", "xai"), ("together", "together"),
    ("fireworks", "fireworks"), ("ollama", "ollama"), ("vllm", "vllm"), ("huggingface", "huggingface"),
    ("ibm", "watsonx"), ("watsonx", "watsonx"), ("replicate", "replicate"),
)  # fmt: skip
_MAKERS: dict[str, str] = dict(_PROVIDERS)
# Frameworks that put their own name where the provider belongs.
FRAMEWORKS = frozenset(
    ("strands-agents", "strands", "langchain", "langgraph", "llamaindex", "llama_index", "crewai", "haystack",
     "smolagents", "autogen", "agno", "dspy", "litellm", "vercel", "ai", "none", "null", "unknown", "_other", "other",
     "openai-agents", "pydantic-ai", "semantic_kernel", "microsoft.agent_framework", "agent_framework", "gen_ai",
     "opentelemetry", "mlflow", "gcp.vertex.agent", "gcp_vertex_agent", "function", "openai_agents", "autogen-core", "autogen_core",
     "spring_ai")
)  # fmt: skip


def kind_of_operation(operation: str) -> str | None:
    """Our kind for a client's word for what it did, None when it is in no table (`openai.responses.create` is)."""
    lowered = operation.lower()
    # LiteLLM's asynchronous calls (`acompletion`), Rig's streams (`chat_streaming`).
    lowered = lowered.removesuffix("_streaming").removesuffix("_stream")
    known = KIND_OF_OPERATION.get(lowered) or KIND_OF_OPERATION.get(lowered.removeprefix("a"))
    if known is None and "." in lowered:
        return next((k for p in lowered.split(".") if (k := KIND_OF_OPERATION.get(p)) in _CALLS), None)
    return known


_CALLS = ("llm", "embedding")


@lru_cache(maxsize=256)
def provider(raw: str | None) -> str | None:
    """The provider behind a client's spelling (`openai.chat`, `Anthropic`, `gcp.vertex_ai`), None for a framework."""
    if not raw:
        return None
    lowered = raw.strip().lower()
    if not lowered or lowered in FRAMEWORKS:
        return None
    for stem, name in _PROVIDERS:
        if stem in lowered:
            return name
    if _ADDRESS.fullmatch(lowered):
        return None
    return lowered.split(".")[0].split("/")[0] or None


# Where a server is says nothing of whose it is.
_ADDRESS = re.compile(r"\w+://.*|(?:localhost|[\d.]+|\[[\da-f:]+\]|[\w.-]+(?=:\d))(?::\d+)?(?:/.*)?")


def is_provider(raw: str) -> bool:
    """Whether a word is the name of a known provider."""
    return any(stem in raw for stem, _ in _PROVIDERS)


def maker(name: str) -> str | None:
    """The provider that a span is named after (`openai.chat`, `OPENAI_API_CALL`), None for any other name."""
    head, dot, _ = name.lower().replace("_api_call", ".", 1).partition(".")
    return _MAKERS.get(head) if dot else None


_PINNED = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8})$")
# Makers whose undated names are aliases: what they serve always carries a date.
_ALIASING = re.compile(r"^(?:gpt-|chatgpt-|o[134](?:-|$)|claude-)")


@lru_cache(maxsize=256)
def family(model: str) -> str:
    """The alias a pinned snapshot belongs to (`gpt-4o-mini-2024-07-18` -> `gpt-4o-mini`), the name itself otherwise."""
    return _PINNED.sub("", model)


@lru_cache(maxsize=256)
def unplaced(model: str | None) -> str | None:
    """A model's own name, where Google's clients say in which project and place it is served."""
    return model and _PLACED.sub("", model)


_PLACED = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/")


@lru_cache(maxsize=256)
def is_pinned(model: str) -> bool:
    """Whether a model name carries its snapshot's date."""
    return _PINNED.search(model) is not None


def embeds(model: str | None) -> bool:
    """Whether a model's name says that it makes vectors, not text."""
    return model is not None and "embed" in model.lower()


@lru_cache(maxsize=256)
def is_echo(requested: str | None, served: str | None, provider: str | None) -> bool:
    """Whether a client put the requested alias where the served model belongs: then the served one is unknown.

    A gateway is asked with the provider's name before the model's.
    """
    if served is None or requested is None or is_pinned(served):
        return False
    asked = requested.removeprefix(f"{provider}/")
    return served in (requested, asked) and bool(_ALIASING.match(asked))


# Without what separates the words: snake case, kebab case and camel case are one spelling.
_FINISH: dict[str, str] = {
    **dict.fromkeys(("stop", "endturn", "end", "stopsequence", "completed", "complete", "finish", "finished",
                     "eos", "eostoken", "stoptoken", "success", "done", "pauseturn"),
                    "stop"),
    **dict.fromkeys(("length", "maxtokens", "maxoutputtokens", "maxtoken", "modelcontextwindowexceeded",
                     "maxlen", "maxcontext", "modellength", "maxcompletiontokens", "incomplete", "truncated", "tokenlimit", "contextlength"),
                    "length"),
    **dict.fromkeys(("toolcalls", "toolcall", "tooluse", "functioncall", "functioncalls", "tool"), "tool_calls"),
    **dict.fromkeys(("contentfilter", "contentfiltered", "safety", "recitation", "blocklist", "prohibitedcontent",
                     "spii", "guardrailintervened", "imagesafety", "language", "moderated", "errortoxic",
                     "malformedfunctioncallsafety", "blocked"), "content_filter"),
    **dict.fromkeys(("refusal", "refused"), "refusal"),
}  # fmt: skip


def finish_reason(raw: str | None, has_tool_calls: bool) -> str | None:
    """A provider's or client's finish reason in our words; None when unknown or when the call failed.

    An answer with tool calls is `tool_calls` even where `stop` or `completed` was sent. A refusal text with `stop`
    stays `stop`: declining is an outcome of its own, and only a provider that says so ends with `refusal`.
    """
    known = None
    if raw is not None:
        key = raw.strip().lower().replace("_", "").replace("-", "").replace(" ", "")
        # The names of Google's and xAI's enumerations (`FINISH_REASON_STOP`, `FinishReason.STOP`, `REASON_STOP`).
        key = key.removeprefix("finishreason").removeprefix("reason").removeprefix(".")
        known = _FINISH.get(key)
        if known is None and "," in key:
            # The ends of several choices, joined by a client.
            known = _FINISH.get(key.partition(",")[0])
    return "tool_calls" if has_tool_calls and known == "stop" else known


_STATUS = re.compile(
    r"\b(?:(?:api )?error(?: code)?|status(?:[ _]code)?|http(?:/\d(?:\.\d)?)?|code)\W{0,4}(\d{3})\b",
    re.IGNORECASE,
)
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "context_length_exceeded",
        re.compile(
            r"context[ _]?(?:length|window)|maximum context|too many (?:input )?tokens|prompt is too long"
            r"|input is too long|contextwindow|max(?:imum)? (?:number of )?(?:input )?tokens.{0,40}exceed"
            r"|reduce the length|exceeds? the (?:maximum|limit).{0,30}token|string_above_max_length",
            re.IGNORECASE,
        ),
    ),
    (
        "rate_limit",
        re.compile(
            r"rate[ _-]?limit|too[ _]?many[ _]?requests|quota|throttl|resource[ _]?(?:has been )?exhausted|\b429\b"
            r"|insufficient_quota|tokens per min|requests per min",
            re.IGNORECASE,
        ),
    ),
    (
        "timeout",
        re.compile(
            r"time[ds]?[ _-]?out|deadline[ _]?exceeded|\b(?:408|504)\b|read operation timed|aborterror.*timeout",
            re.IGNORECASE,
        ),
    ),
    (
        "bad_request",
        re.compile(
            r"bad[ _]?request|invalid[ _]?request|badrequest|unprocessable|authentication|unauthorized|permission"
            # Modules and files are the application's own, not the provider's.
            r"|forbidden|(?<!module)(?<!file)not[ _]?found|invalid[ _]?argument|validation[ _]?(?:error|exception)|invalid[ _]?api[ _]?key"
            r"|content[ _]?policy|access[ _]?denied|unsupported|conflict|model_not_found|invalid_prompt|invalidprompt",
            re.IGNORECASE,
        ),
    ),
    (
        "server_error",
        re.compile(
            r"internal[ _]?server|server[ _]?error|server had an error|service[ _]?unavailable|overloaded|bad[ _]?gateway|connection"
            r"|\b5\d\d\b|unavailable|protocol[ _]?error|incomplete[ _]?read|remote end closed"
            r"|internalerror|internal[ _]error|econnre|network|socket|ssl|eof",
            re.IGNORECASE,
        ),
    ),
)


@lru_cache(maxsize=256)
def part_of_usage(key: str) -> str | None:
    """Which part of the counts a name is of, by its words: `cached`, `written`, `reasoning`; None for every other."""
    words = set(key.replace(".", "_").split("_"))
    if not words.isdisjoint(("cache", "cached", "caching")):
        if words.isdisjoint(("write", "written", "creation", "created", "1h", "5m")):
            return "cached" if words.isdisjoint(("uncached", "non", "not", "no", "miss", "missed")) else None
        return "written"
    return None if words.isdisjoint(("reasoning", "thinking", "thoughts")) else "reasoning"


def error_class(raw_type: str | None, message: str | None, status: int | None) -> str | None:
    """The transport class of `model.errors` behind a client's exception name, message and HTTP status.

    The status is the strongest word, then the type, then the message; None when nothing is recognised.
    """
    text = f"{raw_type or ''} {message or ''}"
    if status is None and message:
        found = _STATUS.search(message)
        status = int(found.group(1)) if found else None
    if status is None and raw_type and len(raw_type) == 3 and raw_type.isascii() and raw_type.isdigit():
        # The conventions of HTTP put the status where others name a class.
        status = int(raw_type)
    if _RULES[0][1].search(text):
        return "context_length_exceeded"
    if status is not None:
        by_status = _class_of_status(status)
        if by_status is not None:
            return by_status
    for source in (raw_type, message):
        if source:
            for name, pattern in _RULES:
                if pattern.search(source[:4000]):
                    return name
    return "server_error" if raw_type and "api" in raw_type.lower() and "error" in raw_type.lower() else None


def is_failure(text: str) -> bool:
    """Whether an answer is the words of an error (`API Error: 400 …`)."""
    return _FAILURE.match(text) is not None


_FAILURE = re.compile(r"(?:api )?error(?: code)?: \d{3}\b", re.IGNORECASE)


def _class_of_status(status: int) -> str | None:
    if status == 429:
        return "rate_limit"
    if status in (408, 504):
        return "timeout"
    if 400 <= status < 500:
        return "bad_request"
    if 500 <= status < 600:
        return "server_error"
    return None
