"""Scorers proposed for one kind of failure: rules learned from its failing answers against passing ones.

What comes out are candidates. Whether one is any good is measured elsewhere, on traces it was not learned from.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from watchkeeper.reviewing.clusters import COMMON

KINDS = ("json_schema", "tools", "citation", "deny", "regex", "check", "required")
MIN_FAILING = 3
MIN_PASSING = 10
MOST_TERMS = 8
# Passing traces hold failures nobody has seen yet: words of a failure may occur in a few of them.
RARE = 0.03
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_BREAK = re.compile(r"[.;:!?\n()\[\]{}]+(?=\s|$)|\n+")
_NUMBER = "<n>"
_CITED = re.compile(r"\[\d{1,3}\]|【\d{1,3}")
Gram = tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """What a proposal may look at of one trace: the answer, what was asked, and the tools that were called."""

    output: str
    input: str = ""
    tools: tuple[str, ...] = ()

    @cached_property
    def said(self) -> frozenset[Gram]:
        """The grams of the answer."""
        return frozenset(grams(self.output))

    @cached_property
    def asked(self) -> frozenset[Gram]:
        """The grams of what was asked."""
        return frozenset(grams(self.input))


@dataclass(frozen=True)
class Candidate:
    """A metric as configuration writes it, without its name, and what speaks for it."""

    kind: str
    spec: Mapping[str, Any]
    why: str


def candidates(
    failing: Sequence[Sample], passing: Sequence[Sample], checks: Sequence[str] = ()
) -> list[Candidate]:
    """What rules could tell these apart, at most one of each kind beside the built-in `checks` (types that need no
    parameters). Nothing is learned from fewer than `MIN_FAILING` failing or `MIN_PASSING` passing answers, except what
    passing answers alone show: their schema and their tools."""
    made: list[Candidate | None] = [schema_of(passing), tools_of(failing, passing)]
    made += [Candidate("check", {"type": name}, f"the built-in check {name}") for name in checks]
    if len(passing) >= MIN_PASSING:
        made.append(citation_of(passing))
        made.append(required_of(failing, passing))
        if len(failing) >= MIN_FAILING:
            made += denied_of(failing, passing)
    return [c for c in made if c is not None]


def _objects(texts: Sequence[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for text in texts:
        body = re.sub(r"^\s*```(?:json)?\s*|\s*```\s*$", "", text)
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(cast("dict[str, Any]", value))
    return found


def schema_of(passing: Sequence[Sample], least: int = 5) -> Candidate | None:
    """The JSON Schema that passing answers share, None unless nearly all of them are JSON objects."""
    texts = [s.output for s in passing]
    found = _objects(texts)
    if len(found) < least or len(found) < 0.95 * len(texts):
        return None
    schema = _schema(found, 0)
    keys = ", ".join(schema.get("required", [])) or "none in all"
    return Candidate(
        "json_schema",
        {"type": "json_schema", "schema": schema},
        f"{len(found)} of {len(texts)} passing answers are JSON objects with {keys}",
    )


_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"),
)  # fmt: skip


def _type(value: Any) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "null")


def _schema(values: Sequence[Any], depth: int) -> dict[str, Any]:
    types = sorted({_type(v) for v in values})
    if "integer" in types and "number" in types:
        types.remove("integer")
    made: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if types == ["object"] and depth < 4:
        objects = cast("Sequence[dict[str, Any]]", values)
        counts = Counter(k for o in objects for k in o)
        made["properties"] = {
            k: _schema([o[k] for o in objects if k in o], depth + 1) for k in sorted(counts)[:50]
        }
        made["required"] = sorted(k for k, n in counts.items() if n == len(objects))
    elif types == ["array"] and depth < 4:
        items = [item for v in values for item in v]
        if items:
            made["items"] = _schema(items, depth + 1)
    elif types == ["string"]:
        distinct = Counter(values)
        # A closed list only where values repeat so often that a new one would be a surprise (rule of three).
        if len(distinct) <= 6 and len(values) >= 20 and min(distinct.values()) >= 3:
            made["enum"] = sorted(distinct)
    return made


def tools_of(failing: Sequence[Sample], passing: Sequence[Sample]) -> Candidate | None:
    """The tools that passing traces call, when failing ones call another."""
    used = Counter(t for s in passing for t in set(s.tools))
    if sum(1 for s in passing if s.tools) < MIN_PASSING:
        return None
    strange = sorted({t for s in failing for t in s.tools} - set(used))
    if not strange:
        return None
    words = f"passing traces call {', '.join(sorted(used))}; failing ones called {', '.join(strange[:3])}"
    return Candidate("tools", {"type": "tool_known", "allowed": sorted(used)}, words)


def citation_of(passing: Sequence[Sample]) -> Candidate | None:
    """That answers cite, when passing ones do."""
    citing = sum(1 for s in passing if _CITED.search(s.output))
    if citing < 0.9 * len(passing):
        return None
    spec = {"type": "regex", "pattern": r"\[\d{1,3}\]|【\d{1,3}", "expect": "match"}
    return Candidate("citation", spec, f"{citing} of {len(passing)} passing answers cite a source")


def grams(text: str, longest: int = 3) -> set[Gram]:
    """Runs of up to `longest` words within a clause, in lower case, every number as one."""
    found: set[Gram] = set()
    for clause in _BREAK.split(text[:4000]):
        tokens = [_NUMBER if t[0].isdigit() else t.lower() for t in _TOKEN.findall(clause)]
        for size in range(1, longest + 1):
            found.update(tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))
    return found


def _pattern(gram: Gram) -> str:
    parts = (r"\d+(?:[.,]\d+)*" if t == _NUMBER else re.escape(t) for t in gram)
    return (
        r"\b" + r"\W{1,3}".join(parts).replace(r"\d+(?:[.,]\d+)*\W{1,3}", r"\d+(?:[.,]\d+)*\W{0,3}") + r"\b"
    )


def denied_of(failing: Sequence[Sample], passing: Sequence[Sample]) -> list[Candidate]:
    """Words and shapes of failing answers that passing ones do not use and their own questions do not bring: as terms, and
    as a pattern in which any number stands for all."""
    said = [s.said - s.asked for s in failing]
    usual = Counter(g for s in passing for g in s.said)
    most = RARE * len(passing)
    least = max(2, round(0.1 * len(failing)))
    counts = Counter(g for s in said for g in s)
    # A number alone says nothing, and neither does what only a few failures share.
    dull = {*COMMON, _NUMBER}
    fit = {g for g, n in counts.items() if n >= least and usual[g] <= most and not dull.issuperset(g)}
    words = _cover([{g for g in s & fit if _NUMBER not in g} for s in said], usual)
    shapes = _cover([s & fit for s in said], usual, prefer_numbers=True)
    made: list[Candidate] = []
    if words:
        terms = [" ".join(g) for g in words]
        made.append(
            Candidate("deny", {"type": "terms", "deny": terms}, f"only failing answers say {_list(terms)}")
        )
    if shapes and any(_NUMBER in g for g in shapes):
        spec = {
            "type": "regex", "pattern": "|".join(_pattern(g) for g in shapes), "expect": "no_match", "ignore_case": True,
        }  # fmt: skip
        shown = [" ".join(g).replace(_NUMBER, "…") for g in shapes]
        made.append(Candidate("regex", spec, f"only failing answers have the form {_list(shown)}"))
    return made


def _list(words: Sequence[str]) -> str:
    quoted = [f"“{w}”" for w in words[:4]]
    return ", ".join(quoted) + (f" and {len(words) - 4} more" if len(words) > 4 else "")


def _longest(gram: Gram) -> int:
    """Long words are rare ones (Zipf 1935), and a rare word that all failures share is no accident."""
    return max(len(t) for t in gram)


def _cover(sets: Sequence[Set[Gram]], usual: Counter[Gram], prefer_numbers: bool = False) -> list[Gram]:
    """Few grams that together occur in as many sets as possible (greedy set cover); the shorter of two equal ones says
    more about the next failure."""
    left = list(range(len(sets)))
    chosen: list[Gram] = []
    least = max(2, round(0.1 * len(sets)))
    while left and len(chosen) < MOST_TERMS:
        gain = Counter(g for i in left for g in sets[i])
        if not gain:
            break
        best = min(
            gain,
            key=lambda g: (-gain[g], prefer_numbers and _NUMBER not in g, usual[g], len(g), -_longest(g), g),
        )
        if gain[best] < least:
            break
        chosen.append(best)
        left = [i for i in left if best not in sets[i]]
    return chosen


def required_of(failing: Sequence[Sample], passing: Sequence[Sample]) -> Candidate | None:
    """The words that nearly all passing answers have and most failing ones lack."""
    usual = Counter(g for s in passing for g in s.said)
    dull = {*COMMON, _NUMBER}
    always = {
        g
        for g, n in usual.items()
        if n >= 0.97 * len(passing) and _NUMBER not in g and not dull.issuperset(g)
    }
    if not always or len(failing) < MIN_FAILING:
        return None
    missing = {g: sum(1 for s in failing if g not in s.said) for g in always}
    best = min(always, key=lambda g: (-missing[g], -usual[g], len(g), g))
    if missing[best] < 0.5 * len(failing):
        return None
    term = " ".join(best)
    words = f"{usual[best]} of {len(passing)} passing answers say “{term}”, {missing[best]} of {len(failing)} failing ones do not"
    return Candidate("required", {"type": "terms", "require": [term]}, words)


def judge_of(name: str, definition: str, comments: Sequence[str], model: str | None) -> Candidate:
    """A judge's rubric for a failure that no rule finds. Without a `model` it has to be given one before it can run."""
    said = " ".join(f"Reviewers said: “{c[:200]}”." for c in comments[:3])
    question = (
        f"Is the answer free of this failure: {name}? {definition} {said} "
        "Judge only this failure, not whether the answer is good otherwise."
    )
    spec: dict[str, Any] = {
        "type": "llm_judge",
        "prompt": " ".join(question.split())[:4000],
        "scale": "0-10",
        "floor": 5.0,
        "anchors": {
            "0": "the failure is plainly there",
            "5": "hard to tell",
            "10": "no trace of the failure",
        },
    }
    if model is not None:
        spec["model"] = model
    return Candidate("judge", spec, f"a judge asked whether the answer shows {name}")


def slug(text: str, longest: int = 40) -> str:
    """A scorer's name made of words."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:longest].strip("_")
    return plain if plain and plain[0].isalpha() else f"signal_{plain}".strip("_")
