"""The sections of `quality.py` that measure more than one check at a time: injection, tone, tools, recorded judges, sampling."""

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fit import rows, toxicity_data, toxicity_out_of_fold
from language_lines import PAIRS
from watchkeeper.model.score import Subject, Verdict
from watchkeeper.model.span import LLM, Context, Document, Retrieval, Span, Tool, ToolCall, Totals, Trace
from watchkeeper.scoring.checks.language import Language
from watchkeeper.scoring.facts import ToolRun, words


def rate(k: int, n: int) -> str:
    """A rate with its Wilson interval, as `quality.wilson`."""
    from quality import wilson

    return wilson(k, n)


def boot(score: np.ndarray, positive: np.ndarray, groups: list[str]) -> str:
    """AUROC with its interval, as `quality.area`."""
    from quality import area

    return area(score, positive, groups)


def made(
    input_: str | None, output: str | None, spans: list[Span] | None = None, call: LLM | None = None
) -> Subject:
    """One trace with a model call."""
    llm = call or LLM(output_text=output)
    span = Span("t", "1", None, "chat", "llm", 1, 2, "ok", "bench", Context(), llm=llm)
    return Subject(
        Trace(
            "t",
            [span, *(spans or [])],
            Context(),
            Totals(),
            1,
            2,
            True,
            input_text=input_,
            output_text=output,
        )
    )


def tool_span(number: int, tool: Tool) -> Span:
    return Span(
        "t", f"9{number}", "1", tool.name or "tool", "tool", 1, 2, "ok", "bench", Context(), tool=tool
    )


def injection_classifier(shared: Path) -> list[str]:
    from fit_injection import Data, out_of_fold, out_of_source, report

    data = Data(shared)
    unseen, alike, pasted = (
        [r.split("|") for r in report(data, score, rate)]
        for score in (out_of_source(data), out_of_fold(data), out_of_fold(data, pasted=True))
    )
    out = [
        "| prompt_attacks, at 1 % of all benign texts flagged | sources never seen | other texts of the same sources "
        "| the same, documents pasted into the input |",
        "|---|---|---|---|",
    ]
    return out + [f"|{a[1]}|{a[2]}|{b[2]}|{c[2]}|" for a, b, c in zip(unseen, alike, pasted, strict=True)]


def tone(shared: Path) -> list[str]:
    from watchkeeper.scoring.checks.language import guess
    from watchkeeper.scoring.classifiers.sentiment import valence
    from watchkeeper.scoring.classifiers.toxicity import probability

    x, y, weight, texts = toxicity_data(shared)
    score = toxicity_out_of_fold(x, y, weight)
    votes = weight == 1.0
    names = [str(i) for i in range(int(votes.sum()))]
    bad = y[votes] == 1
    threshold = float(np.quantile(score[votes & (y == 0)], 0.99))
    hit = int((score[votes][bad] > threshold).sum())
    out = ["| what | figure |", "|---|---|"]
    out.append(
        f"| toxicity, AUROC on toxicity_votes, tweets not fitted on (n {votes.sum()}) | {boot(score[votes], bad, names)} |"
    )
    out.append(f"| toxicity, caught where 1 % of harmless tweets are flagged | {rate(hit, int(bad.sum()))} |")
    clean = [a for r in rows(shared, "arena_model_versions.jsonl") for a in r["answers"].values()]
    clean += [r["response"] for r in rows(shared, "halueval_general.jsonl")]
    flagged = sum(probability(words(t)) >= 0.5 for t in clean)
    out.append(
        f"| toxicity of at least 0.5 among assistants' answers (arena, HaluEval; not fitted on) | {rate(flagged, len(clean))} |"
    )
    mood = np.array([valence(words(t))[0] for t, v in zip(texts, votes, strict=True) if v])
    out.append(
        f"| sentiment as a sign of toxicity, AUROC (no labelled moods here; VADER has 0.75 on these) | {boot(-mood, bad, names)} |"
    )
    said = [bool(valence(words(r["query"]))[1]) for r in rows(shared, "halueval_general.jsonl")]
    out.append(
        f"| sentiment finds a telling word in ordinary requests (HaluEval) | {rate(sum(said), len(said))} |"
    )
    english = [guess(t, words(t)) for t in clean]
    known = [g for g in english if g is not None]
    out.append(f"| language, assistants' answers that it judges | {rate(len(known), len(english))} |")
    out.append(f"| language, English among the judged | {rate(sum(g == 'en' for g in known), len(known))} |")
    short = [r["text"] for r in rows(shared, "banking77_intents.jsonl")]
    named = [guess(t, words(t)) for t in short]
    out.append(
        f"| language, short questions (banking77) told as another than English | {rate(sum(g not in ('en', None) for g in named), len(named))} |"
    )
    return out + short_answers()


def short_answers() -> list[str]:
    """The check `language` on short questions and answers in some twenty languages."""
    check = Language()
    found: dict[bool | None, list[bool | None]] = {True: [], False: [], None: []}
    for question, answer, right in PAIRS:
        trace = Trace("t", [], Context(), Totals(), 1, 2, True, input_text=question, output_text=answer)
        outcome = check.one(Subject(trace))
        found[right].append(outcome.passed if isinstance(outcome, Verdict) else None)
    right, wrong, unknown = found[True], found[False], found[None]
    said = "language, short answers written by hand"
    return [
        f"| {said}: in the wrong language, flagged | {rate(wrong.count(False), len(wrong))} |",
        f"| {said}: in the right language, flagged | {rate(right.count(False), len(right))} |",
        f"| {said}: in the right language, judged | {rate(len(right) - right.count(None), len(right))} |",
        f"| {said}: names, code, translations asked for, judged all the same | {rate(len(unknown) - unknown.count(None), len(unknown))} |",
    ]


def _accepted(call: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A call's name with the first accepted value of every argument that has one."""
    ((name, arguments),) = call.items()
    return name, {k: v[0] for k, v in arguments.items() if v and v[0] != ""}


def _plain(value: Any) -> Any:
    """Accepted values of nested arguments are lists as well."""
    if isinstance(value, dict):
        return {k: _plain(v[0]) if isinstance(v, list) and v else v for k, v in value.items() if v != [""]}
    return value


def _called(tools: list[Any], name: str, arguments: Any) -> Subject:
    call = LLM(output_text=None, tool_calls=[ToolCall("c", name, arguments)], tool_definitions=tools)
    return made("q", None, call=call)


def _broken(outcome: Any) -> bool:
    return isinstance(outcome, Verdict) and outcome.passed is False


def calls(shared: Path) -> list[str]:
    """Right calls of the benchmark, and the same calls spoilt in five ways."""
    from watchkeeper.scoring.checks.tool_arguments_valid import ToolArgumentsValid
    from watchkeeper.scoring.checks.tool_known import ToolKnown

    valid, known = ToolArgumentsValid(), ToolKnown()
    alarms = {"tool_arguments_valid": 0, "tool_known": 0}
    caught: dict[str, list[bool]] = {}
    right = 0
    for row in rows(shared, "bfcl_function_calls.jsonl"):
        schemas = {f["name"]: f["parameters"] for f in row["functions"]}
        for call in row["expected_calls"]:
            name, arguments = _accepted(call)
            arguments = {k: _plain(v) for k, v in arguments.items()}
            if name not in schemas:
                continue
            right += 1
            subject = _called(row["functions"], name, arguments)
            alarms["tool_arguments_valid"] += _broken(valid.one(subject))
            alarms["tool_known"] += _broken(known.one(subject))
            schema = schemas[name]
            spoilt: dict[str, Any] = {"another tool's name": (f"{name}_v2", arguments)}
            needed = [k for k in schema.get("required", []) if k in arguments]
            if needed:
                spoilt["a required argument left out"] = (
                    name,
                    {k: v for k, v in arguments.items() if k != needed[0]},
                )
            numeric = [
                k
                for k in arguments
                if schema["properties"].get(k, {}).get("type") in ("integer", "float", "number")
            ]
            if numeric:
                spoilt["a word for a number"] = (name, {**arguments, numeric[0]: "many"})
            listed = [k for k in arguments if schema["properties"].get(k, {}).get("enum")]
            if listed:
                spoilt["a value off the list"] = (name, {**arguments, listed[0]: "something else"})
            spoilt["arguments cut off"] = (name, json.dumps(arguments)[:-2])
            for kind, (wrong, given) in spoilt.items():
                check = known if kind == "another tool's name" else valid
                caught.setdefault(kind, []).append(
                    _broken(check.one(_called(row["functions"], wrong, given)))
                )
    out = [f"| bfcl, right calls flagged by {name} | {rate(n, right)} |" for name, n in alarms.items()]
    return out + [f"| bfcl, caught: {kind} | {rate(sum(v), len(v))} |" for kind, v in caught.items()]


def airline(shared: Path) -> list[str]:
    """Precision and recall of two checks on recorded agent runs, and what they say about success."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.unit.scoring.build import airline_traces
    from watchkeeper.scoring.checks.repeated_call import RepeatedCall
    from watchkeeper.scoring.checks.tool_arguments_valid import ToolArgumentsValid
    from watchkeeper.scoring.checks.tool_error import ToolError
    from watchkeeper.scoring.checks.tool_known import ToolKnown

    runs = rows(shared, "taubench_airline.jsonl")
    subjects = [Subject(t) for t in airline_traces(shared / "data")]
    failed = np.array([r["reward"] < 1 for r in runs])
    errors = [
        any(m["role"] == "tool" and m["content"].startswith("Error:") for m in r["messages"]) for r in runs
    ]
    repeats: list[bool] = []
    for r in runs:
        made_calls = [
            (c["function"]["name"], json.dumps(json.loads(c["function"]["arguments"]), sort_keys=True))
            for m in r["messages"]
            for c in m.get("tool_calls") or []
        ]
        repeats.append(any(a == b for a, b in itertools.pairwise(made_calls)))
    out: list[str] = []
    for check, truth in ((ToolError(), errors), (RepeatedCall(), repeats)):
        flags = [_broken(o) for o in check.score(subjects)]
        hit = sum(f and t for f, t in zip(flags, truth, strict=True))
        out.append(f"| taubench, {check.name}: precision | {rate(hit, sum(flags))} |")
        out.append(f"| taubench, {check.name}: recall | {rate(hit, sum(truth))} |")
        wrong = int(failed[np.array(flags)].sum())
        out.append(
            f"| taubench, runs flagged by {check.name} that failed ({rate(int(failed.sum()), len(failed))} of all did) | {rate(wrong, sum(flags))} |"
        )
    for check in (ToolKnown(), ToolArgumentsValid()):
        out.append(
            f"| taubench, runs flagged by {check.name} (none is known to be wrong) | {rate(sum(_broken(o) for o in check.score(subjects)), len(subjects))} |"
        )
    return out


def turns(shared: Path) -> list[str]:
    """What people said of one generated turn, against the cheap scorers."""
    from watchkeeper.scoring.checks.repeated_call import RepeatedCall
    from watchkeeper.scoring.checks.token_overlap import TokenOverlap
    from watchkeeper.scoring.classifiers.answer_relevance import AnswerRelevance
    from watchkeeper.scoring.classifiers.groundedness import Groundedness

    data = rows(shared, "taskmaster_turn_rewards.jsonl")
    seen: dict[tuple[str, str], list[tuple[float, bool, str]]] = {}
    flagged: dict[str, list[bool]] = {}
    for row in data:
        context = row["context"]
        said = [t["text"] for t in context if t.get("text")]
        asked = next((t["text"] for t in reversed(context) if t["role"] == "user" and t.get("text")), "")
        known = [*said, *(json.dumps(t["response"]) for t in context if "response" in t)]
        documents = Span(
            "t", "5", "1", "context", "retrieval", 1, 2, "ok", "bench", Context(),
            retrieval=Retrieval(documents=[Document(content=k) for k in known]),
        )  # fmt: skip
        generation, good = row["generation"], row["human_reward"] >= 0.5
        if "api" in generation:
            before = [(n, a) for t in context if "api" in t for n, a in t["api"].items()]
            now = list(generation["api"].items())
            tools = [tool_span(i, Tool(n, str(i), a, "ok")) for i, (n, a) in enumerate([*before[-1:], *now])]
            if _broken(RepeatedCall().one(made(asked, "x", tools))):
                flagged.setdefault(row["domain"], []).append(good)
            arguments = " ".join(str(v) for _, a in now for v in (a.values() if isinstance(a, dict) else [a]))
            subject, kind = made(asked, arguments, [documents]), "API calls"
        else:
            subject, kind = made(asked, generation["text"], [documents]), "replies"
        for check in (TokenOverlap(), Groundedness(), AnswerRelevance()):
            outcome = check.one(subject)
            if isinstance(outcome, Verdict) and outcome.value is not None:
                key = (f"{row['domain']}, {kind}", check.name)
                seen.setdefault(key, []).append((outcome.value, good, row["conversation_id"]))
    out: list[str] = []
    for (what, name), items in sorted(seen.items()):
        good = np.array([g for _, g, _ in items])
        if 20 <= good.sum() <= len(good) - 20:
            score = np.array([v for v, _, _ in items])
            out.append(
                f"| taskmaster, {what} (n {len(items)}): AUROC of {name} for “good” | {boot(score, good, [c for _, _, c in items])} |"
            )
    for domain, verdicts in sorted(flagged.items()):
        bad = sum(not g for g in verdicts)
        out.append(
            f"| taskmaster, {domain}: calls flagged by repeated_call that people called bad | {rate(bad, len(verdicts))} |"
        )
    return out


def attribution(shared: Path) -> list[str]:
    """Does the first step that a check flags point to the step that people blame?"""
    from watchkeeper.scoring.checks.tool_error import error_of

    data = rows(shared, "agent_failure_attribution.jsonl")
    exact = near = flagged = 0
    chance = chance_near = 0.0
    for row in data:
        history = row["history"]
        steps = [
            i
            for i, m in enumerate(history)
            if error_of(ToolRun(None, None, None, m.get("content") or "", None, "")) is not None
            or "exitcode: 1" in (m.get("content") or "")
        ]
        if not steps:
            continue
        flagged += 1
        # What failed was written one step before it was run.
        guess = max(0, steps[0] - 1)
        exact += guess == row["mistake_step"]
        near += abs(guess - row["mistake_step"]) <= 1
        n = len(history)
        chance += 1 / n
        chance_near += sum(abs(i - row["mistake_step"]) <= 1 for i in range(n)) / n
    return [
        f"| Who&When, failed runs with a step that reports an error | {rate(flagged, len(data))} |",
        f"| Who&When, the step before the first error is the blamed one (by chance {100 * chance / max(1, flagged):.0f} %) | {rate(exact, flagged)} |",
        f"| Who&When, at most one step away (by chance {100 * chance_near / max(1, flagged):.0f} %) | {rate(near, flagged)} |",
    ]


def tools(shared: Path) -> list[str]:
    head = ["| recorded tool use | figure |", "|---|---|"]
    return [*head, *calls(shared), *airline(shared), *turns(shared), *attribution(shared)]


def judges(shared: Path) -> list[str]:
    """Recorded verdicts of real judges through the calibration rules."""
    from watchkeeper.model.series import Estimate
    from watchkeeper.scoring.calibration import position
    from watchkeeper.stats.judges import judge_gate

    data = rows(shared, "pairwise_preferences.jsonl")
    out = [
        "| judge (LLMBar, both orders) | pairs | agrees with the gold label, mean of both orders | same verdict in both orders | first place among flipped | our gate says |",
        "|---|---|---|---|---|---|",
    ]
    bar = [r for r in data if r["source"].startswith("llmbar")]
    names = sorted({j for r in bar for j in r["judge_verdicts"]})
    for name in names:
        judged = [(r, r["judge_verdicts"][name]) for r in bar if name in r["judge_verdicts"]]
        pairs = [
            (r["human_label"], int(v[0]), int(v[1]))
            for r, v in judged
            if isinstance(v, list) and len(v) == 2 and all(str(x) in ("1", "2") for x in v)
        ]
        if len(pairs) < 30:
            continue
        right = sum(a == g for g, a, _ in pairs) + sum(b == g for g, _, b in pairs)
        same = sum(a == b for _, a, b in pairs)
        probe = position([a for _, a, _ in pairs], [b for _, _, b in pairs])
        verdict = judge_gate([a for _, a, _ in pairs], [g for g, _, _ in pairs], seed=1)
        status = getattr(verdict, "status", "insufficient")
        bias = "–" if probe.value is None else f"{100 * probe.value:.0f} % ({probe.status})"
        out.append(
            f"| {name} | {len(pairs)} | {100 * right / (2 * len(pairs)):.1f} % | {rate(same, len(pairs))} | {bias} | {status} |"
        )
    answers = rows(shared, "xstest_responses.jsonl")
    final = [r["final_label"] for r in answers]
    out += ["", "| XSTest answers, three classes | agreement | kappa | our gate says |", "|---|---|---|---|"]
    for label, key in (
        ("recorded GPT-4 judge", "gpt4_judge_label"),
        ("string matching", "string_match_label"),
        ("one person with the other", "annotator_1"),
    ):
        human = [r["annotator_2"] for r in answers] if key == "annotator_1" else final
        verdict = judge_gate(
            [str(r[key]) for r in answers], human, seed=1, clusters=[r["prompt_id"] for r in answers]
        )
        kappa = getattr(verdict, "kappa", None)
        said = f"{kappa.value:.2f} ({kappa.low:.2f}–{kappa.high:.2f})" if isinstance(kappa, Estimate) else "–"
        agreed = sum(str(r[key]) == h for r, h in zip(answers, human, strict=True))
        out.append(
            f"| {label} | {rate(agreed, len(answers))} | {said} | {getattr(verdict, 'status', 'insufficient')} |"
        )
    return out


def sampling(shared: Path) -> list[str]:
    """The bias of not weighing, with our own sampler, estimator and interval."""
    del shared
    from watchkeeper.model.series import Estimate
    from watchkeeper.scoring.sampling import Policy, Sampled, Sampler
    from watchkeeper.stats.estimates import rate as pass_rate
    from watchkeeper.stats.estimates import weights_of

    policies = [
        Policy("random", 0.02),
        Policy("segment", 0.10, where={"segment": "enterprise"}),
        Policy("errors", 1.0, flag="error"),
    ]
    rng = np.random.default_rng(11)
    plain: list[float] = []
    weighed: list[float] = []
    total: list[float] = []
    covered = naive_covered = 0
    repeats, n = 200, 20_000
    for repeat in range(repeats):
        sampler = Sampler(policies, f"salt-{repeat}")
        segment, failed = rng.random(n) < 0.10, rng.random(n) < 0.03
        passed = np.where(failed, rng.random(n) < 0.31, rng.random(n) < 0.9)
        decisions = [
            sampler.decide(
                Sampled(
                    f"{repeat}-{i}",
                    {"segment": "enterprise" if segment[i] else "other"},
                    frozenset(("error",)) if failed[i] else frozenset(),
                )
            )
            for i in range(n)
        ]
        kept = np.array([d.selected for d in decisions])
        pi = np.array([d.probability for d in decisions])[kept]
        seen, truth = passed[kept].astype(float), 0.97 * 0.9 + 0.03 * 0.31
        naive, ours = pass_rate(seen), pass_rate(seen, pi)
        if not isinstance(naive, Estimate) or not isinstance(ours, Estimate):
            continue
        plain.append(naive.value - truth)
        weighed.append(ours.value - truth)
        total.append(float((weights_of(pi, seen.size) * seen).sum()) / n - truth)
        covered += ours.low <= truth <= ours.high
        naive_covered += naive.low <= truth <= naive.high
    return [
        *_tailed(),
        "",
        "| 2 % of all, 10 % of a segment, every error (3 %); pass rate 88.2 %, 31 % among the errors | bias, points | sd, points | interval holds the truth |",
        "|---|---|---|---|",
        f"| counted as they are | {100 * np.mean(plain):+.1f} | {100 * np.std(plain):.1f} | {rate(naive_covered, len(plain))} |",
        f"| weighed by 1/π, our estimate | {100 * np.mean(weighed):+.1f} | {100 * np.std(weighed):.1f} | {rate(covered, len(weighed))} |",
        f"| Horvitz–Thompson, for comparison | {100 * np.mean(total):+.1f} | {100 * np.std(total):.1f} | – |",
    ]


def _tailed() -> list[str]:
    """How often the interval of a mean of amounts holds the mean, by how heavy the tail is."""
    from watchkeeper.model.series import MILLISECONDS, Estimate
    from watchkeeper.stats.estimates import mean

    rng = np.random.default_rng(13)
    kinds: dict[str, tuple[Callable[[int], np.ndarray], float]] = {
        "exponential": (lambda n: rng.exponential(1, n), 1.0),
        "lognormal, sd 1": (lambda n: np.exp(rng.standard_normal(n)), float(np.exp(0.5))),
        "lognormal, sd 1.5": (lambda n: np.exp(1.5 * rng.standard_normal(n)), float(np.exp(1.125))),
        "lognormal, sd 2": (lambda n: np.exp(2 * rng.standard_normal(n)), float(np.exp(2.0))),
        "Pareto, index 2": (lambda n: 1 + rng.pareto(2, n), 2.0),
        "Pareto, index 1.5": (lambda n: 1 + rng.pareto(1.5, n), 3.0),
    }
    sizes, repeats = (30, 100, 300), 1000
    out = [
        "| the 95 % interval of a mean of costs or latencies holds it | 30 | 100 | 300 |",
        "|---|---|---|---|",
    ]
    for name, (draw, truth) in kinds.items():
        held: list[str] = []
        for n in sizes:
            found = [mean(draw(n), scale=MILLISECONDS.scale) for _ in range(repeats)]
            inside = sum(isinstance(e, Estimate) and e.low <= truth <= e.high for e in found)
            held.append(f"{100 * inside / repeats:.0f} %")
        out.append(f"| {name} | {' | '.join(held)} |")
    return out
