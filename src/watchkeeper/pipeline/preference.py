"""Two experiments compared answer by answer: a pairwise judge on every case both have, in both orders."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from watchkeeper.dialects import pricing
from watchkeeper.llm.port import ProviderError
from watchkeeper.model.prompt import Ask, Prompt, Reply
from watchkeeper.model.score import ABSTAINED, Failed, NotScored, Subject, Verdict
from watchkeeper.model.series import Estimate
from watchkeeper.model.span import LLM, Context, Span, Totals, Trace
from watchkeeper.pipeline.quote import quote, said_usd, total_of
from watchkeeper.scoring.calibration import position
from watchkeeper.scoring.drive import drive
from watchkeeper.scoring.judges.pairwise import PLACES, PairwiseJudge
from watchkeeper.stats.intervals import wilson

CALLS = 2
AT_ONCE = 8
# The labels of verdicts that turned with the order.
TURNED = ("first place", "second place", "inconsistent")


@dataclass(frozen=True)
class Pair:
    """A case with the earlier and the later answer."""

    case_id: str
    input: str
    before: str
    after: str


def pairs_of(compared: Mapping[str, Any], limit: int | None = None) -> list[Pair]:
    """The cases of a comparison (`gating.contrast`) with two different answers; the same answers need no judge."""
    found = [
        Pair(str(c["case_id"]), str(c["input"] or ""), str(c["before"]), str(c["after"]))
        for c in compared["cases"]
        if c.get("before") and c.get("after") and c["before"] != c["after"]
    ]
    return found[:limit]


def subject_of(pair: Pair, models: Sequence[str] = ()) -> Subject:
    """The later answer as subject, the earlier one beside it."""
    call = LLM(output_text=pair.after, response_model=models[0] if models else None)
    span = Span("0" * 32, "0" * 16, None, "case", "llm", 1, 2, "ok", "case", Context(), llm=call)
    span.input_text, span.output_text = pair.input, pair.after
    trace = Trace(
        "0" * 32, [span], Context(), Totals(), 1, 2, True, input_text=pair.input, output_text=pair.after
    )
    return Subject(trace, extra={"other": pair.before, "other_models": list(models[1:])})


async def estimate_cost(judge: PairwiseJudge, pairs: Sequence[Pair]) -> tuple[int, float | None, str]:
    """Calls, USD at most (None without a price) and the price table's version, before anybody is asked."""
    made = await quote(judge, [subject_of(p) for p in pairs], times=CALLS)
    return CALLS * len(pairs), made.cost, pricing.in_force().version


async def prefer(
    judge: PairwiseJudge,
    pairs: Sequence[Pair],
    ask: Ask,
    nonce: Callable[[], str],
    models: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge every pair. `preference` is the mean of 1 (later better), 0 (earlier better) and a half, with its 95 % interval.
    `inconsistent` pairs turned with the order and count a half; `position` says whether the judge chooses by place. `abstained`
    pairs, of which it could not tell, and pairs that fail are counted and left out of the mean."""
    gate = asyncio.Semaphore(AT_ONCE)
    spent: list[float | None] = []

    async def paid(prompt: Prompt) -> Reply:
        reply = await ask(prompt)
        spent.append(reply.cost)
        return reply

    async def one(pair: Pair) -> tuple[Pair, Verdict | NotScored | Failed]:
        subject = subject_of(pair, models)
        subject.extra["nonce"] = nonce()
        async with gate:
            try:
                return pair, await drive(judge.steps(subject), paid)
            except ProviderError as error:
                return pair, Failed(str(error))

    outcomes = await asyncio.gather(*(one(p) for p in pairs))
    verdicts = [(p, o) for p, o in outcomes if isinstance(o, Verdict)]
    counts = Counter(str(v.label) for _, v in verdicts)
    places = [PLACES[str(v.label)] for _, v in verdicts if v.label in PLACES]
    values = [v.value for _, v in verdicts if v.value is not None]
    reasons = Counter(o.reason[:120] for _, o in outcomes if isinstance(o, NotScored | Failed))
    return {
        "model": judge.model,
        "version": judge.version,
        "question": judge.question,
        "pairs": len(pairs),
        "judged": len(verdicts),
        "better": counts["better"],
        "worse": counts["worse"],
        "tie": counts["tie"],
        "inconsistent": sum(counts[said] for said in TURNED),
        "abstained": counts[ABSTAINED],
        "left_out": dict(reasons),
        "position": msgspec.to_builtins(position([a for a, _ in places], [b for _, b in places])),
        "preference": msgspec.to_builtins(_preference(values)) if len(values) > 1 else None,
        "calls": len(spent),
        "cost": total_of(spent),
        "cases": [{"case_id": p.case_id, "said": v.label, "reason": v.reason} for p, v in verdicts],
    }


def _preference(values: Sequence[float]) -> Estimate:
    """The mean with Wilson's interval: of 0, a half and 1 none varies more than a rate, and five of five prove little."""
    low, high = wilson(sum(values), len(values))
    return Estimate(sum(values) / len(values), low, high, len(values), float(len(values)))


def lines_of(made: Mapping[str, Any]) -> list[str]:
    """The result as people read it."""
    lines = [
        f"{made['judged']} of {made['pairs']} pairs judged by {made['model']} in both orders, {made['calls']} calls, "
        f"{said_usd(made['cost'])}",
        f"later better {made['better']}, earlier better {made['worse']}, tie {made['tie']}, "
        f"no preference (the verdict turned with the order) {made['inconsistent']}, could not tell {made['abstained']}",
    ]
    found = made["preference"]
    if found is None:
        lines.append("too few pairs for an interval")
    else:
        clear = "the later" if found["low"] > 0.5 else "the earlier" if found["high"] < 0.5 else "neither"
        lines.append(
            f"preference for the later {found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f}, n {found['n']}): "
            f"{clear} is clearly preferred"
        )
    probe = made["position"]
    if probe["value"] is not None:
        told = "it chooses by place" if probe["status"] == "biased" else "no sign that it chooses by place"
        lines.append(
            f"position: {probe['words']}, {probe['value']:.0%} ({probe['low']:.0%} to {probe['high']:.0%}): {told}"
        )
    lines += [f"left out {n}: {why}" for why, n in made["left_out"].items()]
    return lines
