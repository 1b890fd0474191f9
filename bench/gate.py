"""What the gate's verdicts are worth: `python -m bench.gate` prints the tables of docs/gate.md.

1. Simulated experiments (paired, sessions of two turns with half of the variance between sessions): how often a harmless
   change is called a failure, and how often a real loss is, by number of cases and of semantic scorers.
2. Deterministic checks: verdicts by true failure rate, with repeats that are flaky in both runs.
3. Real answers of three models to the same 311 prompts, scored by the default scorers. Nothing has changed when the two
   answers of each case are swapped at random, so every failure there is false.
4. What the gate costs a case beyond the target.
"""

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.shared import ROOT
from watchkeeper.gating.compare import MIN_CLUSTERS, Pair, semantic
from watchkeeper.gating.judgement import Baseline, case_scores, document
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import CaseScore, GateSettings, deterministic, every_case
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import Verdict
from watchkeeper.pipeline.answers import score_answers
from watchkeeper.pipeline.plan import default_scorers

RUNS = 500
SETTINGS = GateSettings()
MODELS = ("gpt-4-0314", "gpt-4-0613", "gpt-3.5-turbo-0125")
Scores = dict[tuple[str, str], CaseScore]


def simulated(n: int, loss: float, rng: random.Random, name: str) -> list[Pair]:
    """Pairs of a scorer with sd 1 in the baseline; the paired differences have sd 0.7, half of its variance by session."""
    pairs: list[Pair] = []
    between = within = 0.7 / 2**0.5
    for session in range(n // 2):
        moved = rng.gauss(0, between)
        for turn in range(2):
            old = rng.gauss(5, 1)
            new = old - loss + moved + rng.gauss(0, within)
            case = f"{session}.{turn}"
            pairs.append(
                (
                    CaseScore(case, name, (new,), (None,), cluster=str(session)),
                    CaseScore(case, name, (old,), (None,), cluster=str(session)),
                )
            )
    return pairs


def shares(outcomes: Sequence[str]) -> str:
    """pass / fail / not enough evidence in per cent."""
    counts = Counter(outcomes)
    return " | ".join(
        f"{100 * counts[o] / len(outcomes):.1f} %" for o in ("pass", "fail", "not_enough_evidence")
    )


def worst(outcomes: Sequence[str]) -> str:
    """The verdict over several scorers."""
    for outcome in ("fail", "not_enough_evidence"):
        if outcome in outcomes:
            return outcome
    return "pass"


def experiments() -> Iterator[str]:
    """Table 1."""
    yield "| change | scorers | cases | pass | fail | not enough evidence |\n|---|---|---|---|---|---|"
    rng = random.Random(1)
    for what, loss in (
        ("none", 0.0),
        ("loss of the margin, 0.15 sd", 0.15),
        ("loss of 0.3 sd", 0.3),
        ("loss of 0.6 sd", 0.6),
    ):
        for k in (1, 5):
            for n in (10, 50, 200, 600):
                found: list[str] = []
                for _ in range(RUNS):
                    # One scorer is hurt; the others are harmless company that Holm's correction must pay for.
                    pairs = {f"s{i}": simulated(n, loss if i == 0 else 0.0, rng, f"s{i}") for i in range(k)}
                    found.append(worst([v.outcome for v in semantic(pairs, SETTINGS)]))
                yield f"| {what} | {k} | {n} | {shares(found)} |"


def checks() -> Iterator[str]:
    """Table 2."""
    yield "| true failure rate | cases | pass | fail | not enough evidence |\n|---|---|---|---|---|"
    rng = random.Random(2)
    for rate in (0.0, 0.01, 0.05):
        for n in (20, 60, 200):
            found: list[str] = []
            for _ in range(RUNS):
                rows: list[CaseScore] = []
                for i in range(n):
                    good = rng.random() >= rate
                    rows.append(CaseScore(str(i), "check", (float(good),), (good,)))
                found.append(every_case([deterministic("check", rows)], n, SETTINGS).outcome)
            yield f"| {rate:.0%} | {n} | {shares(found)} |"


def real() -> tuple[list[Case], dict[str, Scores], dict[str, float]]:
    """The prompts, every model's scores by the default scorers, and milliseconds of processor time an answer took to score."""
    path = ROOT / "data" / "arena_model_versions.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    cases = [Case(id=r["id"], input=r["prompt"]) for r in rows]
    by_id = {c.id: c for c in cases}
    scorers = default_scorers()
    found: dict[str, Scores] = {}
    took: dict[str, float] = {}
    warm = [Answer(r["id"], "loads the word vectors", finish_reason="stop") for r in rows[:2]]
    asyncio.run(score_answers(by_id, warm, scorers, None))
    for model in MODELS:
        answers = [Answer(r["id"], r["answers"][model], finish_reason="stop") for r in rows]
        began = time.process_time()
        outcomes = asyncio.run(score_answers(by_id, answers, scorers, None))
        took[model] = 1000 * (time.process_time() - began) / len(answers)
        found[model] = case_scores(by_id, outcomes)
    return cases, found, took


def soft_names(scores: Scores) -> list[str]:
    """The semantic ones of the default scorers that answered."""
    kinds = {s.name: s.kind for s in default_scorers()}
    return sorted({n for _, n in scores if kinds.get(n) == "classifier"})


def verdict_of(
    old: Scores, new: Scores, ids: Sequence[str], names: Sequence[str]
) -> tuple[str, dict[str, str]]:
    """The semantic verdict on these cases."""
    pairs = {n: [(new[i, n], old[i, n]) for i in ids if (i, n) in new and (i, n) in old] for n in names}
    found = semantic({n: p for n, p in pairs.items() if len(p) >= MIN_CLUSTERS}, SETTINGS)
    return worst([v.outcome for v in found]), {v.scorer: v.explanation for v in found}


def swapped(a: Scores, b: Scores, ids: Sequence[str], rng: random.Random) -> tuple[Scores, Scores]:
    """Both answers of each case in random order: nothing has changed between the two runs."""
    first: Scores = {}
    second: Scores = {}
    names = {n for _, n in a} & {n for _, n in b}
    for case in ids:
        one, two = (a, b) if rng.random() < 0.5 else (b, a)
        for name in names:
            if (case, name) in one and (case, name) in two:
                first[case, name], second[case, name] = one[case, name], two[case, name]
    return first, second


def harmed(scores: Scores, share: float, by: float, rng: random.Random) -> Scores:
    """The scores with a share of the cases made worse by `by` standard deviations."""
    spread = {
        n: statistics.pstdev([s.mean for (_, m), s in scores.items() if m == n])
        for n in {n for _, n in scores}
    }
    hit = {case for case in {c for c, _ in scores} if rng.random() < share}
    return {
        (c, n): CaseScore(c, n, (s.mean - by * spread[n] * (c in hit),), (None,))
        for (c, n), s in scores.items()
    }


def arena(cases: Sequence[Case], found: Mapping[str, Scores]) -> Iterator[str]:
    """Table 3."""
    rng = random.Random(3)
    a, b = found["gpt-4-0314"], found["gpt-4-0613"]
    names = soft_names(a)
    ids = [c.id for c in cases]
    yield f"semantic scorers: {', '.join(names)}\n"
    yield "| change | cases | pass | fail | not enough evidence |\n|---|---|---|---|---|"
    variants: list[tuple[str, Callable[[Scores], Scores]]] = [
        ("none: answers of two versions of a model swapped at random", lambda s: s),
        ("one case in five loses 2 sd", lambda s: harmed(s, 0.2, 2.0, rng)),
        ("one case in two loses 2 sd", lambda s: harmed(s, 0.5, 2.0, rng)),
    ]
    for what, change in variants:
        for n in (20, 60, 311):
            outcomes: list[str] = []
            for _ in range(RUNS):
                some = rng.sample(ids, n)
                old, new = swapped(a, b, some, rng)
                outcomes.append(verdict_of(old, change(new), some, names)[0])
            yield f"| {what} | {n} | {shares(outcomes)} |"
    for model in MODELS[1:]:
        outcome, words = verdict_of(a, found[model], ids, names)
        yield f"\n`gpt-4-0314` → `{model}`: **{outcome.replace('_', ' ')}** ({'; '.join(f'{k}: {v}' for k, v in words.items())})"


def overhead(cases: Sequence[Case], found: Mapping[str, Scores], took: Mapping[str, float]) -> Iterator[str]:
    """Table 4."""
    kinds = {s.name: s.kind for s in default_scorers()}
    outcomes = {
        k: [Verdict(value=v, passed=p) for v, p in zip(s.values, s.passed, strict=True)]
        for k, s in found[MODELS[1]].items()
    }
    dataset = DatasetVersion("p", "d", 1, 0, "", "", "", list(cases))
    answers = [Answer(c.id, "x") for c in cases]
    base = Baseline("old", "exp", found[MODELS[0]])
    times: list[float] = []
    for _ in range(7):
        began = time.process_time()
        document(dataset, answers, outcomes, kinds, base, SETTINGS)
        times.append(1000 * (time.process_time() - began) / len(cases))
    yield (
        f"processor time: {len(default_scorers())} default scorers {statistics.median(took.values()):.2f} ms an answer; comparing, deciding and "
        f"writing the experiment: {statistics.median(times):.2f} ms a case"
    )


def main() -> None:
    """Print everything."""
    print(f"## Simulated ({RUNS} runs a row)\n")
    for line in experiments():
        print(line, flush=True)
    print("\n## Checks\n")
    for line in checks():
        print(line)
    cases, found, took = real()
    print("\n## Real answers\n")
    for line in arena(cases, found):
        print(line, flush=True)
    print("\n## Cost\n")
    for line in overhead(cases, found, took):
        print(line)


if __name__ == "__main__":
    main()
