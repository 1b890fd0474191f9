"""Which family a model is of. A judge of the answer's own family prefers it, so it is refused (requirement J2)."""

import re
from collections.abc import Iterable, Mapping

from watchkeeper.model.score import Subject

_FAMILIES: tuple[tuple[str, str], ...] = (
    (r"gpt|chatgpt|davinci|curie|\bo[1-9]\b|omni-|codex", "openai"),
    (r"claude", "anthropic"),
    (r"gemini|gemma|palm|bison", "google"),
    (r"mistral|mixtral|codestral|magistral|ministral|pixtral|devstral", "mistral"),
    (r"deepseek", "deepseek"),
    (r"qwen|qwq|tongyi", "qwen"),
    (r"command|c4ai|aya-", "cohere"),
    (r"grok", "xai"),
    (r"\bphi\b|phi-?\d|wizardlm", "microsoft"),
    (r"nova|titan", "amazon"),
    (r"kimi|moonshot", "moonshot"),
    (r"glm|zhipu", "zhipu"),
    (r"\byi-", "yi"),
    (r"smollm", "huggingface"),
    (r"llama|vicuna|alpaca", "llama"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), family) for pattern, family in _FAMILIES)


def bare(model: str) -> str:
    """The model's own name, without `provider:` and router prefixes."""
    return model.partition(":")[2] or model


def family(model: str, own: Mapping[str, str] | None = None) -> str:
    """The family of a model name in any provider's spelling; an unknown model is a family of its own. `own` maps name
    prefixes to families, for fine-tuned models whose names say nothing.

    >>> family("openai:gpt-4o-mini"), family("bedrock:anthropic.claude-3-haiku-20240307-v1:0")
    ('openai', 'anthropic')
    """
    name = bare(model).strip().lower()
    for prefix, known in sorted((own or {}).items(), key=lambda item: -len(item[0])):
        if name.startswith(prefix.lower()) or model.lower().startswith(prefix.lower()):
            return known
    for pattern, known in _COMPILED:
        if pattern.search(name):
            return known
    return re.split(r"[/@]", name)[-1] or name


def answering_models(subject: Subject) -> list[str]:
    """The models that wrote what is graded: the served one where known, else the requested one."""
    spans = [subject.span] if subject.span is not None else subject.trace.llm_calls
    found = [s.llm.response_model or s.llm.request_model for s in spans if s.llm is not None]
    return list({m: None for m in found if m})


def self_judging(judge: str, models: Iterable[str], own: Mapping[str, str] | None = None) -> str | None:
    """Why `judge` must not grade answers of `models`, or None."""
    mine = family(judge, own)
    for model in models:
        if family(model, own) == mine:
            return f"the judge {judge} is of the same family ({mine}) as the answering model {model}"
    return None
