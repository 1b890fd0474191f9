"""From a metric's configuration to its scorer: one builder per type, errors that name the key and what is allowed."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import msgspec

from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.checks.limits import Cost, Latency
from watchkeeper.scoring.checks.pii_in_output import PiiInOutput
from watchkeeper.scoring.checks.regex import Regex
from watchkeeper.scoring.checks.secret_in_output import SecretInOutput
from watchkeeper.scoring.checks.table import BY_TYPE as CHECKS
from watchkeeper.scoring.checks.terms import Terms
from watchkeeper.scoring.classifiers.table import BY_TYPE as CLASSIFIERS
from watchkeeper.scoring.custom import CustomScorer
from watchkeeper.scoring.judges.pairwise import PairwiseJudge
from watchkeeper.scoring.judges.rubric import Dimension, Example, Rubric, RubricJudge
from watchkeeper.scoring.judges.rubrics import BY_NAME as RUBRICS
from watchkeeper.scoring.protocol import Finders, Scorer

TYPES = ("llm_judge", "custom", "policy", "performance", "budget", "check", "classifier")
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*\Z")
_MONEY = re.compile(r"\s*\$?\s*(\d+(?:\.\d+)?)\s*(?:USD|usd|\$)?\s*\Z")
_MS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0, None: 1.0}


class SpecError(ValueError):
    """A metric's configuration is wrong: `key` is where, the text says what and what is allowed."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key


def _choose(key: str, value: Any, allowed: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value in allowed:
        return allowed[value]
    close = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise SpecError(key, f"{value!r} is not allowed{hint}; one of {', '.join(allowed)}")


def _only(spec: Mapping[str, Any], allowed: set[str]) -> None:
    for key in spec:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise SpecError(key, f"unknown key{hint}; allowed are {', '.join(sorted(allowed))}")


def _make(cls: type[Any], arguments: dict[str, Any]) -> Any:
    """Build a scorer; its own complaints start with the parameter's name."""
    try:
        return cls(**arguments)
    except ValueError as error:
        key, _, message = str(error).partition(": ")
        raise SpecError(key if message else cls.__name__, message or str(error)) from error
    except TypeError as error:
        raise SpecError(cls.__name__, str(error)) from error


def _typed(value: Any, default: Any, key: str) -> Any:
    """A parameter in its field's own type: YAML lists become tuples, whole numbers floats; a wrong type is an error."""
    if isinstance(value, list):
        return tuple(value)
    if default is None or isinstance(value, dict):
        if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value
    if isinstance(default, bool) != isinstance(value, bool):
        raise SpecError(
            key,
            f"{value!r} is not allowed; {'true or false' if isinstance(default, bool) else 'not a yes or no'}",
        )
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, str):
        return (value,)
    if isinstance(default, int | float | str) and type(value) is not type(default):
        if isinstance(default, int) and isinstance(value, float) and value.is_integer():
            return int(value)
        raise SpecError(key, f"{value!r} is not allowed; a {type(default).__name__} is expected")
    return value


def _check(cls: type[Check], spec: Mapping[str, Any], finders: Finders, selector: str) -> Scorer:
    given = {f.name: f for f in fields(cls) if f.repr}
    parameters = {k: v for k, v in spec.items() if k not in ("type", selector)}
    _only(parameters, set(given))
    arguments = {k: _typed(v, given[k].default, k) for k, v in parameters.items()}
    if issubclass(cls, PiiInOutput | SecretInOutput):
        arguments["find"] = finders.find_sensitive
    return _make(cls, arguments)


def _check_by_key(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    return _check(_choose("check", spec.get("check"), CHECKS), spec, finders, "check")


def _classifier_by_key(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    return _check(_choose("classifier", spec.get("classifier"), CLASSIFIERS), spec, finders, "classifier")


def duration_ms(value: Any, key: str) -> float:
    """`3000ms`, `3s`, `2m` or plain milliseconds."""
    match = (
        _DURATION.match(str(value))
        if isinstance(value, str | int | float) and not isinstance(value, bool)
        else None
    )
    if match is None:
        raise SpecError(key, f"{value!r} is not a duration; write 3000ms, 3s or 2m")
    return float(match.group(1)) * _MS[match.group(2)]


def dollars(value: Any, key: str) -> float:
    """`0.05 USD`, `$0.05` or a plain number."""
    match = (
        _MONEY.match(str(value))
        if isinstance(value, str | int | float) and not isinstance(value, bool)
        else None
    )
    if match is None:
        raise SpecError(key, f"{value!r} is not an amount; write 0.05 USD")
    return float(match.group(1))


def _performance(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    """A limit per trace. A percentile as key (`p95: 3000ms`) means the same limit; how many may exceed it is for a monitor."""
    del finders
    limits = [k for k in spec if re.fullmatch(r"p\d{1,2}|max|threshold", k)]
    _only(spec, {"name", "type", "level", "of", "max", "threshold", "p50", "p90", "p95", "p99"})
    if len(limits) > 1:
        raise SpecError(limits[1], f"give one limit; {limits[0]} is set as well")
    limit = duration_ms(spec[limits[0]], limits[0]) if limits else 0.0
    arguments = {k: spec[k] for k in ("name", "level", "of") if k in spec}
    return _make(Latency, {**arguments, "max_ms": limit})


def _budget(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    del finders
    _only(spec, {"name", "type", "level", "threshold"})
    limit = dollars(spec["threshold"], "threshold") if "threshold" in spec else 0.0
    arguments = {k: spec[k] for k in ("name", "level") if k in spec}
    return _make(Cost, {**arguments, "max_usd": limit})


def _policy(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    if "pattern" in spec:
        return _check(Regex, {"expect": "no_match", **spec}, finders, "type")
    return _check(Terms, spec, finders, "type")


def _custom(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    del finders
    allowed = {f.name for f in fields(CustomScorer)} | {"type"}
    _only(spec, allowed)
    if not isinstance(spec.get("function"), str):
        raise SpecError("function", "a Python function is required, written module:function")
    arguments = {k: v for k, v in spec.items() if k != "type"}
    if "params" in arguments and not isinstance(arguments["params"], dict):
        raise SpecError("params", "must be a mapping of the function's keyword arguments")
    return _make(CustomScorer, {"name": spec["function"].partition(":")[2], **arguments})


def _scale(value: Any) -> tuple[float, float]:
    match = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*(?:-|–|\.\.|to)\s*(\d+(?:\.\d+)?)\s*", str(value))
    if match is None or float(match.group(1)) >= float(match.group(2)):
        raise SpecError("scale", f"{value!r} is not a scale; write 0-10, worst to best")
    return float(match.group(1)), float(match.group(2))


_JUDGE_KEYS = {
    "name", "type", "model", "rubric", "prompt", "scale", "anchors", "dimensions", "reads", "needs", "level", "floor",
    "self_judging", "families", "examples", "mode", "max_tokens", "unit_cost", "error_class",
}  # fmt: skip


def _rubric(spec: Mapping[str, Any]) -> Rubric:
    name = str(spec.get("name") or spec.get("rubric") or "judge")
    if "rubric" in spec:
        if "prompt" in spec or "dimensions" in spec:
            raise SpecError("rubric", "give either a built-in rubric or a prompt or dimensions of your own")
        rubric: Rubric = _choose("rubric", spec["rubric"], RUBRICS)
    elif "dimensions" in spec:
        try:
            dimensions = msgspec.convert(spec["dimensions"], tuple[Dimension, ...])
        except msgspec.ValidationError as error:
            raise SpecError(
                "dimensions", f"{error}; each needs name, question and may have anchors"
            ) from error
        if not dimensions:
            raise SpecError("dimensions", "give at least one")
        rubric = Rubric(name, "", dimensions)
    else:
        question = spec.get("prompt")
        if not isinstance(question, str) or not question.strip():
            raise SpecError("prompt", f"a question is required, or a rubric: one of {', '.join(RUBRICS)}")
        anchors = {str(k): str(v) for k, v in (spec.get("anchors") or {}).items()}
        rubric = Rubric(name, "", (Dimension(name, question, anchors),))
    changes: dict[str, Any] = {k: spec[k] for k in ("level", "error_class") if k in spec}
    changes |= {k: tuple(spec[k]) for k in ("reads", "needs") if k in spec}
    if "scale" in spec and rubric.mode == "points":
        changes["low"], changes["high"] = _scale(spec["scale"])
    return msgspec.structs.replace(rubric, **changes) if changes else rubric


def _pairwise(spec: Mapping[str, Any]) -> Scorer:
    allowed = {
        "name",
        "type",
        "mode",
        "model",
        "prompt",
        "reads",
        "self_judging",
        "families",
        "max_tokens",
        "unit_cost",
    }
    _only(spec, allowed)
    if not isinstance(spec.get("model"), str):
        raise SpecError("model", "a pinned model is required, written provider:model")
    arguments = {k: spec[k] for k in ("name", "model", "self_judging", "families", "max_tokens") if k in spec}
    if "prompt" in spec:
        arguments["question"] = str(spec["prompt"])
    if "reads" in spec:
        arguments["reads"] = tuple(spec["reads"])
    if "unit_cost" in spec:
        arguments["unit_cost"] = dollars(spec["unit_cost"], "unit_cost")
    return _make(PairwiseJudge, arguments)


def _judge(spec: Mapping[str, Any], finders: Finders) -> Scorer:
    del finders
    if spec.get("mode") == "pairwise":
        return _pairwise(spec)
    _only(spec, _JUDGE_KEYS)
    if "mode" in spec:
        raise SpecError(
            "mode", f"{spec['mode']!r} is not allowed; pairwise compares two answers, or leave it out"
        )
    if not isinstance(spec.get("model"), str):
        raise SpecError("model", "a pinned model is required, written provider:model")
    arguments: dict[str, Any] = {
        k: spec[k] for k in ("name", "model", "floor", "self_judging", "families", "max_tokens") if k in spec
    }
    if "unit_cost" in spec:
        arguments["unit_cost"] = dollars(spec["unit_cost"], "unit_cost")
    if "examples" in spec:
        try:
            arguments["examples"] = msgspec.convert(spec["examples"], tuple[Example, ...])
        except msgspec.ValidationError as error:
            raise SpecError("examples", f"{error}; each needs input, output, score and reasoning") from error
    rubric = _rubric(spec)
    floor = arguments.get("floor")
    if isinstance(floor, int | float) and not rubric.low <= floor <= rubric.high:
        raise SpecError("floor", f"{floor:g} is outside the scale of {rubric.low:g} to {rubric.high:g}")
    for i, example in enumerate(arguments.get("examples", ())):
        if not rubric.low <= example.score <= rubric.high:
            said = f"example {i + 1} has the score {example.score:g}, outside the scale of {rubric.low:g} to {rubric.high:g}"
            raise SpecError("examples", said)
    return _make(RubricJudge, {"rubric": rubric, **arguments})


_BUILDERS: dict[str, Callable[[Mapping[str, Any], Finders], Scorer]] = {
    "llm_judge": _judge,
    "custom": _custom,
    "policy": _policy,
    "performance": _performance,
    "budget": _budget,
    "check": _check_by_key,
    "classifier": _classifier_by_key,
}


def build(spec: Mapping[str, Any], finders: Finders | None = None) -> Scorer:
    """The scorer a metric describes. `type` is one of `TYPES`, or directly the name of a check or classifier. Raises
    SpecError naming the key and what is allowed.

    >>> build({"name": "short", "type": "length", "max": 500}).name
    'short'
    """
    finders = finders or Finders()
    kind = spec.get("type")
    if kind in _BUILDERS:
        return _BUILDERS[str(kind)](spec, finders)
    direct = CHECKS.get(str(kind)) or CLASSIFIERS.get(str(kind))
    if direct is not None:
        return _check(direct, spec, finders, "type")
    close = difflib.get_close_matches(str(kind), [*TYPES, *CHECKS, *CLASSIFIERS], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise SpecError(
        "type",
        f"{kind!r} is not allowed{hint}; one of {', '.join(TYPES)}, or the name of a check or classifier",
    )
