"""How much a text reads like an attempt to take over the model: triage, never a verdict (figures in docs/quality.md)."""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.patterns import PatternSet
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.checks.injection_pattern import PATTERNS, said_first
from watchkeeper.scoring.checks.injection_pattern import phrases as said
from watchkeeper.scoring.classifiers.hashed import load
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.texts import words

# What instructions to a model talk about, besides the phrases of `injection_pattern`.
MANNERS: tuple[str, ...] = (
    r"\byou are now\b|\byou(?:'re| are) (?:going to|about to) (?:act|play|be|pretend)|\bi want you to (?:act|be|pretend|play)|\byou will (?:act|be|play|pretend)\b",
    r"\bact(?:ing)? as\b|\bpretend(?:ing)? (?:to be|you|that)\b|\bplay the role\b|\brole ?-?play\b|\btake on the (?:role|persona)\b|\bimmerse yourself\b",
    r"\bin (?:this|a|the following) (?:hypothetical|fictional|imaginary)\b|\bhypothetical (?:story|response|scenario|world)\b|\bfictional (?:world|story|character|universe)\b",
    r"\b(?:no|without any|any) (?:ethical|moral|legal) (?:\w+ ){0,2}(?:guidelines?|limits?|restrictions?|constraints?|concerns?|boundaries|or)\b|\bunethical\b|\bimmoral\b|\billegal\b|\bamoral\b",
    r"\b(?:my|the) first (?:request|question|prompt|command|order|message)\b|\bif you understand\b|\brespond with ['\"“]",
    r"\b(?:as|like) (?:chatgpt|an ai|a language model|gpt)\b|\bchatgpt\b|\bopenai\b|\bgpt-?[345]\b|\blanguage model\b",
    r"\bnever (?:say|refuse|mention|break|use|warn|apologi[sz]e|include)|\bdo(?: not|n't) (?:refuse|apologi[sz]e|warn|include (?:any )?(?:warning|disclaimer)|add|say (?:that )?(?:you|it))|\bno (?:warnings?|disclaimers?|apologies)\b",
    r"\b(?:begin|start) (?:your |the |each |every )?(?:\w+ ){0,3}(?:with|by)\b|\byour (?:answer|response|reply|output) (?:must|should|has to|will)\b|\b(?:two|2) (?:ways|responses|answers|outputs|paragraphs)\b",
    r"\b(?:system prompt|system message|initial prompt|your instructions|your (?:rules|guidelines|programming)|above instructions|prior instructions|hidden prompt)\b",
    r"\b(?:jailbreak|jailbroken|unfiltered|uncensored|unrestricted|developer mode|dan mode|god ?mode|no limits)\b",
    r"\b(?:simulate|simulation|emulate|emulation|terminal|virtual machine|persona|alter ego|opposite mode)\b",
    r"\b(?:password|secret key|api key|credentials?|token)\b.{0,40}\b(?:reveal|send|print|tell|show|give)|\b(?:reveal|send|print|tell|show|give)\b.{0,40}\b(?:password|secret|api key|credentials?)\b",
    r"!\[[^\]\n]{0,80}\]\(https?:\/\/[^)\s]{1,300}[?=]",
    r"\b(?:base64|rot13|hexadecimal|morse|caesar|cipher|reverse(?:d)? (?:the )?(?:text|letters|order|words)|scrambl\w+|encode[ds]?)\b",
    r"\b(?:rewrite|redirect\w*|download|click|visit|install|integrate|embed|include|insert|append) (?:\w+ ){0,5}(?:link|url|www|http|code|script|update|site)",
    r"\b(?:stay|remain|be) in character\b|\bnot bound by\b|\bbroken free\b|\bno longer (?:bound|limited|restricted)\b|\bfreed?\b.{0,30}\b(?:rules|limits|confines)\b|\bhas no\b",
)
# From here on the reason quotes; how many sentences are looked at for it.
_TELLING, _SENTENCES = 0.5, 12
FEATURES = (
    *(f"phrase_{i}" for i in range(len(PATTERNS))),
    *(f"manner_{i}" for i in range(len(MANNERS))),
    "phrases", "manners", "length", "you", "must", "table", "odd_line", "mail", "task_in_document", "answer_in_document",
    "late_task", "tail_marks", "tail_joined", "tail_strange", "code", "capitals", "foreign", "links", "encoded", "hidden",
    "asks_first", "placeholders", "quoted_speech", "long_and_manners",
)  # fmt: skip
BUCKETS = 8192
_YOU = frozenset(["you", "your", "yourself", "yours", "u", "youre"])
_MUST = frozenset(
    [
        "must",
        "never",
        "always",
        "cannot",
        "dont",
        "should",
        "only",
        "any",
        "without",
        "regardless",
        "every",
        "no",
        "not",
    ]
)
_ASKS = frozenset(
    [
        "what",
        "how",
        "why",
        "when",
        "where",
        "who",
        "which",
        "is",
        "are",
        "can",
        "could",
        "does",
        "do",
        "did",
        "should",
        "would",
        "whats",
        "will",
        "was",
    ]
)
_TASKS = frozenset(
    [
        "write",
        "translate",
        "provide",
        "summarize",
        "summarise",
        "encode",
        "decode",
        "scramble",
        "respond",
        "answer",
        "reply",
        "include",
        "integrate",
        "insert",
        "append",
        "explain",
        "describe",
        "list",
        "create",
        "generate",
        "tell",
        "give",
        "name",
        "find",
        "compute",
        "calculate",
        "convert",
        "rewrite",
        "rephrase",
        "repeat",
        "say",
        "state",
        "identify",
        "suggest",
        "recommend",
        "compose",
        "draft",
        "make",
        "use",
        "add",
        "put",
        "embed",
        "remove",
        "replace",
        "output",
        "print",
        "show",
        "encrypt",
        "reverse",
        "ignore",
        "disregard",
        "forget",
        "act",
        "pretend",
        "imagine",
        "share",
        "promote",
        "advertise",
        "mention",
        "invite",
        "introduce",
        "offer",
        "determine",
        "estimate",
        "solve",
        "define",
        "discuss",
        "compare",
        "analyze",
        "analyse",
        "classify",
        "express",
        "mimic",
        "adopt",
        "emulate",
        "incorporate",
        "utilize",
        "utilise",
        "modify",
        "transform",
        "change",
        "omit",
        "exclude",
        "alter",
        "employ",
        "avoid",
        "deliver",
        "present",
        "organize",
        "structure",
        "send",
        "who",
        "what",
        "how",
        "when",
        "where",
        "why",
        "which",
    ]
)
_MAIL = re.compile(
    r"^(?:subject|from|to|email_from|received date|date|sent)\s*:", re.IGNORECASE | re.MULTILINE
)
_SENTENCE = re.compile(r"(?<=[.!?])[ \t]+|\n+|\|CONTENT:", re.IGNORECASE)
_ODD_TOKEN = re.compile(r"[A-Za-z][^\w\s'’.,:;?!()/&@-]+[A-Za-z]|[a-z][A-Z]|[\\{}\[\]<>|$%^*=~`_]{2,}")
_ENCODED = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}|(?:\\x[0-9a-f]{2}){4,}|(?:[01]{8} ?){4,}", re.IGNORECASE)
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\U000e0000-\U000e007f]")
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z _]{2,}\]|\{\{?[a-z_ ]{2,}\}?\}")
_SPEECH = re.compile(r"\[?\(?[\U0001f300-\U0001faff]?[A-Z][A-Za-z]{1,12}\]?\)?:")
_LONGEST = 20_000


@lru_cache(maxsize=1)
def _manners() -> PatternSet:
    return PatternSet(MANNERS)


def _document(text: str, known: bool) -> tuple[list[float], bool]:
    """What a document says that documents do not: (table, odd_line, mail, task, answer, late task), and whether it is one."""
    lines = [x for x in text.split("\n") if x.strip()][:400]
    rows = [x.count("|") >= 2 for x in lines]
    table = sum(rows) / len(rows) if len(rows) >= 3 else 0.0
    odd = [x for x, row in zip(lines, rows, strict=True) if not row and len(x.split()) >= 3]
    mail = len(_MAIL.findall(text[:600])) + text[:600].count("|EMAIL_FROM:") >= 2
    document = known or table >= 0.5 or mail
    if not document:
        return [table, 0.0, float(mail), 0.0, 0.0, 0.0], False
    candidates = odd if table >= 0.5 else [x.strip() for x in _SENTENCE.split(text) if x]
    firsts = [(w[0], i) for i, c in enumerate(candidates) if len(w := words(c[:60])) >= 3]
    tasks = [i for first, i in firsts if first in _TASKS]
    lowered = [c.lower() for c in candidates]
    answer = any(
        "your answer" in c or "your response" in c or "your reply" in c or "the answer" in c for c in lowered
    )
    edge = bool(tasks) and (tasks[0] == 0 or tasks[-1] >= len(candidates) - 2)
    odd_line = float(table >= 0.5 and 0 < len(odd) <= 3)
    return [table, odd_line, float(mail), float(bool(tasks)), float(answer), float(edge)], True


def dense(text: str, tokens: list[str], document: bool = False) -> list[float]:
    """The features of `FEATURES`. `document`: known to be retrieved text or a tool's result."""
    phrases, manners = said(text)[0], _manners().ids(text)
    n = max(1, len(tokens))
    tail = text[-160:]
    marks = sum(not (c.isalnum() or c.isspace() or c in ".,'\"?!:;()-") for c in tail) / max(1, len(tail))
    odd = len(_ODD_TOKEN.findall(tail))
    code = "```" in text or text.count(";\n") + text.count("{\n") > 1
    page, is_document = _document(text, document)
    spelled = text.split()
    loud = sum(len(w) > 2 and w.isupper() for w in spelled) / max(1, len(spelled))
    foreign = sum(c.isalpha() and not c.isascii() for c in text[:2000]) / max(1, min(2000, len(text)))
    asks = bool(tokens) and tokens[0] in _ASKS
    out = [0.0] * (len(PATTERNS) + len(MANNERS))
    for i in phrases:
        out[i] = 1.0
    for i in manners:
        out[len(PATTERNS) + i] = 1.0
    return [
        *out,
        min(1.0, len(phrases) / 3),
        min(1.0, len(manners) / 5),
        math.log1p(n) / 8,
        min(1.0, 8 * sum(t in _YOU for t in tokens) / n),
        min(1.0, 8 * sum(t in _MUST for t in tokens) / n),
        *page,
        0.0 if code or is_document else min(1.0, 4 * marks),
        0.0 if code or is_document else min(1.0, odd / 6),
        0.0 if code or is_document else float(odd >= 3 and marks > 0.05),
        float(code),
        min(1.0, 4 * loud),
        min(1.0, 4 * foreign),
        float("http" in text or "www." in text),
        float(_ENCODED.search(text) is not None),
        float(_HIDDEN.search(text) is not None),
        float(asks and n < 60),
        min(1.0, len(_PLACEHOLDER.findall(text)) / 2),
        min(1.0, len(_SPEECH.findall(text[:4000])) / 4),
        min(1.0, math.log1p(n) / 8 * len(manners) / 4),
    ]


def risk(text: str, document: bool = False) -> float:
    """Probability-like, 0–1, that a text carries instructions meant to take over the model that reads it."""
    text = text[:_LONGEST]
    tokens = words(text)
    if not tokens:
        return 0.0
    return load("injection").probability(dense(text, tokens, document), tokens)


def _telling(text: str, document: bool) -> str:
    """The words that speak most for it: a listed phrase, else the riskiest of the first sentences."""
    phrase = said_first(text)
    if phrase is None:
        sentences = [s.strip() for s in _SENTENCE.split(text[:_LONGEST]) if len(s.strip()) > 12][:_SENTENCES]
        phrase = max(sentences, key=lambda s: risk(s, document), default=text.strip())
    return phrase[:120]


@dataclass(frozen=True, kw_only=True)
class InjectionRisk(Check):
    """The highest risk (0–1) that the input, a retrieved document or a tool's result carries instructions meant to take over
    the model: phrases, manners of speaking to a model, hidden or encoded parts, requests where a document has none, and
    hashed words, in a logistic model. What it catches at one false alarm in a hundred is in docs/quality.md: most jailbreaks
    in the wild, few optimised ones. It says where to look and never fails a trace by default.

    floor: at or above this risk the verdict is failed; None measures only. contents: look at documents and tool results.
    """

    type = "injection_risk"
    row = "J5"
    of_input = True
    summary = "Risk, 0–1, that input, documents or tool results carry instructions to the model (triage)."
    error_class = "unsafe"
    kind = "classifier"
    unit = "0–1"
    example = {"floor": 0.9, "contents": True}

    floor: float | None = None
    contents: bool = True

    def prepare(self) -> None:
        if self.floor is not None and not 0 < self.floor <= 1:
            raise ValueError(f"floor: {self.floor} must be above 0 and at most 1")

    def data(self) -> tuple[Any, ...]:
        return (load("injection").shipped, PATTERNS, MANNERS)

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        given = [("the input", seen.input, False)] if seen.input else []
        if self.contents:
            outside = seen.untrusted[1:] if seen.input else seen.untrusted
            given += [("retrieved or tool content", text, True) for text in outside]
        if not given:
            return NotScored("no input or retrieved text recorded")
        value, (where, text, document) = max(
            ((risk(text, document), (where, text, document)) for where, text, document in given),
            key=itemgetter(0),
        )
        passed = None if self.floor is None else value < self.floor
        reason = f"highest in {where}"
        if value >= _TELLING:
            reason += f": “{_telling(text, document)}”"
        return Verdict(
            value=round(value, 4), passed=passed, reason=reason,
            error_class=self.error_class if passed is False else None,
        )  # fmt: skip
