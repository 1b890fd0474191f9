"""Who and what a span belongs to: tables of the attribute names clients and applications use."""

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from watchkeeper.dialects import spare
from watchkeeper.dialects.common import flag_evaluation
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import (
    Picker,
    as_dict,
    as_list,
    as_text,
    decode,
    identifier,
    is_redacted,
    word,
)


class Aliases(msgspec.Struct, frozen=True):
    """Attribute keys, strongest first. `loose` are names inside metadata, compared without case and separators."""

    session: tuple[str, ...] = (
        "watchkeeper.session.id", "session.id", "langfuse.session.id", "langfuse.trace.session_id", "session_id",
        "sessionId", "thread.id", "thread_id", "chat_id", "group_id", "conversation.id", "conversation_id",
        "gen_ai.session.id", "gen_ai.thread.id", "mlflow.trace.session", "ag_ui.thread_id",
        "langwatch.thread.id", "confident.trace.thread_id", "nat.conversation.id", "aiq.conversation.id",
        "voltagent.conversation_id", "livekit.session.id", "copilot_chat.chat_session_id", "copilot_chat.session_id",
        "wandb.thread_id", "braintrust.session_id", "judgment.session_id", "honeyhive.session_id",
        "honeyhive_session_id", "ag.session.id", "scope.agentic.session", "claude_agent.session.id",
        "claude_agent.session_id", "microsoft.session.id", "mirascope.ops.session.id", "galileo.session.id",
        "respan.sessions.session_identifier", "ai.observability.conversation_id", "tfy.request.conversation_id",
        "respan.threads.thread_identifier", "keywordsai.threads.thread_identifier",
        "openclaw.sessionId", "openclaw.sessionKey", "lilypad.session_id", "conversationId", "chat.id", "chatId",
        "gen_ai.session_id", "gen_ai.conversation_id", "gen_ai.thread_id", "gen_ai.client.session_id", "llm.session_id",
        "llm.session.id", "llm.conversation_id", "llm.conversation.id", "ai.session.id", "ai.session_id",
        "ai.conversation.id", "ai.conversation_id", "agent.session.id", "agent.session_id", "app.session.id",
        "app.session_id", "chat.session.id", "chat.session_id", "openai.thread_id", "langgraph.thread_id",
    )  # fmt: skip
    weak_session: tuple[str, ...] = ("gen_ai.conversation.id",)
    user: tuple[str, ...] = (
        "watchkeeper.user.id", "user.id", "langfuse.user.id", "langfuse.trace.user_id", "enduser.id", "user_id",
        "userId", "llm.user", "gen_ai.request.user", "gen_ai.user.id", "gen_ai.user", "mlflow.trace.user",
        "confident.trace.user_id", "usr.id", "judgment.customer_id", "honeyhive_user_id", "ag.user.id",
        "gen_ai.user_id", "llm.user_id", "llm.user.id", "ai.user.id", "ai.user_id",
        "respan.customer_params.customer_identifier", "keywordsai.customer_params.customer_identifier",
    )  # fmt: skip
    loose_session: frozenset[str] = frozenset(
        (
            "sessionid",
            "threadid",
            "conversationid",
            "convoid",
            "chatid",
            "langfusesessionid",
            "session",
            "thread",
            "groupid",
        )
    )
    loose_user: frozenset[str] = frozenset(
        ("userid", "langfuseuserid", "enduserid", "enduser", "user", "customerid")
    )


DEFAULT = Aliases()
METADATA_PREFIXES = (
    "traceloop.association.properties.",
    "ai.telemetry.metadata.",
    "langsmith.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "metadata.",
    "watchkeeper.metadata.",
    "mastra.metadata.",
    "lmnr.association.properties.",
)
# Prefixes whose members are the application's own words; the others mix them with the client's bookkeeping.
_OWN_METADATA = ("langfuse.trace.metadata.", "watchkeeper.metadata.")
# The same as one object, beside `metadata` itself.
_WHOLE_METADATA = ("langfuse.trace.metadata", "latitude.metadata", "confident.trace.metadata")
_LOOSE_CONTEXT = {
    "scenario": "scenario", "usecase": "scenario", "task": "scenario", "variant": "variant", "abvariant": "variant",
    "experimentvariant": "variant", "environment": "environment", "release": "release", "region": "region",
    "lcagentname": "agent", "agentname": "agent", "promptname": "prompt_name", "promptversion": "prompt_version",
}  # fmt: skip
_PLAIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("scenario", ("watchkeeper.scenario", "scenario", "gen_ai.task.scenario")),
    ("variant", ("watchkeeper.variant", "variant", "experiment.variant")),
    ("environment", ("watchkeeper.environment", "langfuse.environment", "deployment.environment.name",
                     "deployment.environment", "confident.trace.environment", "respan.environment")),
    ("region", ("watchkeeper.region", "cloud.region")),
    ("release", ("watchkeeper.release", "langfuse.release", "release", "langfuse.version")),
    ("prompt_name", ("watchkeeper.prompt.name", "gen_ai.prompt.name", "langfuse.observation.prompt.name",
                     "traceloop.prompt.key", "llm.prompt_template.name", "prompt.id", "prompt.name",
                     "confident.span.prompt_alias", "cozeloop.prompt_key", "ai.observability.prompt.slug", "mirascope.version.name", "promptlayer.prompt.name")),
    ("prompt_version", ("watchkeeper.prompt.version", "gen_ai.prompt.version", "langfuse.observation.prompt.version",
                        "traceloop.prompt.version", "llm.prompt_template.version", "prompt.version",
                        "confident.span.prompt_version", "cozeloop.prompt_version", "ai.observability.prompt.version_id", "mirascope.version.version", "promptlayer.prompt.version")),
    ("workflow", ("gen_ai.workflow.name", "traceloop.workflow.name", "langfuse.trace.name",
                  "n8n.workflow.name", "gen_ai.capability.name")),
)  # fmt: skip
_PROMPT_META: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("template", ("llm.prompt_template.template", "traceloop.prompt.template", "gen_ai.prompt.template")),
    ("variables", ("llm.prompt_template.variables", "traceloop.prompt.template_variables")),
)
_TAGS = (
    "tag.tags",
    "tags",
    "langfuse.trace.tags",
    "langsmith.span.tags",
    "watchkeeper.tags",
    "langfuse.tags",
    "agentops.tags",
    "braintrust.tags",
    "confident.trace.tags",
    "latitude.tags",
    "lmnr.association.properties.tags",
    "mastra.tags",
)


def _loose(key: str) -> str:
    return key.lower().replace("_", "").replace(".", "").replace("-", "")


class _Compiled(NamedTuple):
    pick: Picker
    identities: frozenset[str]
    # For each of their keys where it stands among all, the draft's field, the key, and what a redacted one is called.
    places: dict[str, list[tuple[int, str, str, str]]]


def _compile(aliases: Aliases) -> _Compiled:
    fields = {
        "agent": ("gen_ai.agent.name", "agent.name", "agent_name"),
        "tags": _TAGS,
        "metadata": ("metadata",),
    }
    fields |= {key: (key,) for key in _WHOLE_METADATA}
    fields |= dict(_PLAIN) | dict(_PROMPT_META)
    told = (("session", aliases.session, "session_id"), ("weak_session", aliases.weak_session, "conversation_id"),
            ("user", aliases.user, "user_id"))  # fmt: skip
    places: dict[str, list[tuple[int, str, str, str]]] = {}
    for rank, (field, key, name) in enumerate((f, k, n) for f, keys, n in told for k in keys):
        places.setdefault(key, []).append((rank, field, key, name))
    return _Compiled(Picker(fields), frozenset(places), places)


# Hashing the alias tables for every span would cost more than reading it.
_DEFAULT = _compile(DEFAULT)
_other = lru_cache(maxsize=8)(_compile)


def prefixed(attributes: dict[str, Any]) -> bool:
    """Whether the names of these attributes are such as `fill` reads one by one."""
    return any("metadata." in k or "properties." in k or k.startswith("feature_flag.") for k in attributes)


def fill(
    draft: Draft, attributes: dict[str, Any], aliases: Aliases = DEFAULT, with_prefixed: bool = True
) -> None:
    """Session, user, agent, prompt, release and the rest, from every spelling; redacted ids stay unknown.

    `with_prefixed` is False where the caller knows that no name is one of `prefixed`, or means to leave those out.
    """
    compiled = _DEFAULT if aliases is DEFAULT else _other(aliases)
    present = compiled.identities.intersection(attributes)
    if present:
        for _, field, key, name in sorted([p for k in present for p in compiled.places[k]]):
            if not getattr(draft, field):
                setattr(draft, field, _identity(draft, attributes, key, name))
    got = compiled.pick(attributes)
    for field, value in got.items():
        if field == "agent":
            draft.agent = draft.agent or word(value)
        elif field == "tags":
            draft.tags = draft.tags or _tags(value)
        elif field == "metadata" or field in _WHOLE_METADATA:
            for key, entry in (as_dict(value) or {}).items():
                _meta(draft, key, entry, aliases, True)
        elif field in ("template", "variables"):
            draft.metadata.setdefault(f"prompt.{field}", decode(value))
        elif getattr(draft, field) is None:
            setattr(draft, field, identifier(value))
    if with_prefixed:
        _prefixed(draft, attributes, aliases)


def _prefixed(draft: Draft, attributes: dict[str, Any], aliases: Aliases) -> None:
    for key, value in attributes.items():
        if "metadata." in key or "properties." in key:
            prefix = next((p for p in METADATA_PREFIXES if key.startswith(p)), None)
            if prefix is not None:
                _meta(draft, key[len(prefix) :], value, aliases, prefix in _OWN_METADATA)
        elif key.startswith("feature_flag."):
            draft.metadata.setdefault(key, value)
            if key == "feature_flag.key":
                flag_evaluation(draft, attributes)


def _identity(draft: Draft, attributes: dict[str, Any], key: str, name: str) -> str | None:
    text = word(attributes[key])
    if text is None or (key == "thread.id" and is_os_thread(attributes)) or text in spare.UNNAMED:
        return None
    if is_redacted(text):
        # The application named its session; a generated id beside it is not that session.
        told = draft.metadata.get("watchkeeper.redacted")
        draft.metadata["watchkeeper.redacted"] = [*(told if isinstance(told, list) else ()), name]
        return None
    return text


def is_os_thread(attributes: dict[str, Any]) -> bool:
    """Whether `thread.id` is the process's thread (Java's agent and Rust put it on every span), not a conversation."""
    return "thread.name" in attributes or not isinstance(attributes["thread.id"], str)


# LangChain's own tags, of the steps of its chains and graphs.
_STEP_TAGS = ("seq:step:", "graph:step:", "map:key:", "langsmith:")


def _tags(value: Any) -> list[str]:
    listed = as_list(value)
    if listed is not None:
        return [t for item in listed if (t := as_text(item)) and not t.startswith(_STEP_TAGS)]
    text = as_text(value)
    return [t.strip() for t in text.split(",") if t.strip()] if text else []


def _meta(draft: Draft, key: str, value: Any, aliases: Aliases, own: bool) -> None:
    name = _loose(key)
    if "." in key and (last := _loose(key.rpartition(".")[2])).endswith("id"):
        # An id under a prefix of the client's own (Raindrop's).
        name = last
    if name in aliases.loose_session:
        draft.session = draft.session or identifier(value)
    elif name in aliases.loose_user:
        draft.user = draft.user or identifier(value)
    elif name == "lsprovider":
        # LangChain's word, whichever callback passes it on.
        if (provider := word(value)) and draft.kind in ("llm", "embedding"):
            draft.provider_raw.setdefault("ls_provider", provider)
    else:
        field = _LOOSE_CONTEXT.get(name)
        if field == "agent":
            draft.weak_agent = draft.weak_agent or word(value)
        elif field is not None and getattr(draft, field) is None:
            setattr(draft, field, identifier(value))
    if own:
        draft.metadata.setdefault(key, decode(value))
