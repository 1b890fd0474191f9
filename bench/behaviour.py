"""What the behaviour scorers are worth on labelled data: `python bench/behaviour.py [--shared DIR] [--write docs/quality.md]`.

No public set labels "the user asked again" in live traffic, so the labels are by construction, and that is said beside each
figure: two questions of one intent are a question asked again, the next turn of an ordinary order is not.
"""

import argparse
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fit import ROOT, auroc, rows
from quality import area, wilson
from user_lines import CLARIFYING, ESCALATING, FRUSTRATED, OTHERS
from watchkeeper.model.score import Subject, Verdict
from watchkeeper.model.span import Context, Totals, Trace
from watchkeeper.scoring.behaviour import (
    Rephrased,
    clarification_in,
    escalation_in,
    frustration_in,
    similarity,
)

HEADING = "## What users do next"
INTRO = """
`python bench/behaviour.py`. The scorers of [behaviour](behaviour.md), word lists and static embeddings, nothing fitted on
these sets; its limits were raised after reading hits on generated support dialogues; that an agreement ("yes, a latte to go") is no repetition was added after reading hits on taskmaster4. Two
questions with one of the 77 intents stand for a question asked again: a hard test, because an intent is wider than a question. In
the next turn of an ordered coffee nobody asks again, so hits there are false. hh_harmless_dialogues are people who
provoke an assistant: they do insist, so its rates are no error rates. In tau-bench the customer is a model told to be polite, and
the signals say nothing about whether the task was done: without impatience there is none to find. No set here labels real
impatience, clarification or requests for a person: the rates of the word lists are false alarms, and what they catch was measured on messages written by hand
after the lists, a third of them in other languages (`bench/user_lines.py`; the lists were not changed since): a small sample, and varied on purpose.
"""
PAIRS = 1500

Pair = tuple[str, str]


def asked_again(pair: Pair) -> bool:
    """Whether the scorer says that the second message repeats the first."""
    trace = Trace("0" * 32, [], Context(), Totals(), 0, 1, True, input_text=pair[0], output_text="a")
    outcome = Rephrased().judged(Subject(trace), pair[1])
    return isinstance(outcome, Verdict) and outcome.value == 1.0


def user_turns(folder: Path, name: str) -> list[list[str]]:
    """The user's messages of each conversation."""
    found: list[list[str]] = []
    for record in rows(folder, name):
        said = [m.get("text") or m.get("content") for m in record["messages"] if m["role"] == "user"]
        found.append([str(s) for s in said if s])
    return found


def pairs_of(folder: Path, seed: int = 7) -> dict[str, list[Pair]]:
    """Pairs of messages by what they stand for."""
    rng = random.Random(seed)
    by_intent: dict[str, list[str]] = defaultdict(list)
    for record in rows(folder, "banking77_intents.jsonl"):
        by_intent[record["intent"]].append(record["text"])
    intents = sorted(by_intent)
    same = [tuple(rng.sample(by_intent[rng.choice(intents)], 2)) for _ in range(PAIRS)]
    two = [rng.sample(intents, 2) for _ in range(PAIRS)]
    other = [(rng.choice(by_intent[a]), rng.choice(by_intent[b])) for a, b in two]
    coffee = [p for s in user_turns(folder, "taskmaster4_conversations.jsonl") for p in itertools.pairwise(s)]
    provoking = [p for s in user_turns(folder, "hh_harmless_dialogues.jsonl") for p in itertools.pairwise(s)]
    return {
        "two questions of one intent (banking77): should be high": [(a, b) for a, b in same],
        "two questions of different intents (banking77): should be low": other,
        "next turn of an order (taskmaster4): should be low": rng.sample(coffee, min(PAIRS, len(coffee))),
        "next turn of a provoking user (hh_harmless)": provoking,
    }


def again_section(folder: Path) -> list[str]:
    """How often each kind of pair counts as asked again, and how well the two measures rank."""
    found = pairs_of(folder)
    lines = ["| rephrased | counted as asked again |", "|---|---|"]
    for name, pairs in found.items():
        lines.append(f"| {name} | {wilson(sum(map(asked_again, pairs)), len(pairs))} |")
    (same, other, coffee, _) = found.values()
    for name, against in (("different intents", other), ("order turns", coffee)):
        measured = np.array([similarity(*p) for p in (*same, *against)])
        positive = np.array([1] * len(same) + [0] * len(against), dtype=bool)
        groups = [str(i) for i in range(len(positive))]
        for column, what in ((0, "embedding"), (1, "shared words")):
            lines.append(
                f"| AUROC of {what}, one intent against {name} | {area(measured[:, column], positive, groups)} |"
            )
    return lines


def words_section(folder: Path) -> list[str]:
    """How often each word list fires where nobody has reason to."""
    readers: dict[str, Callable[[str], str | None]] = {
        "clarification": clarification_in,
        "frustration": frustration_in,
        "escalation_request": escalation_in,
    }
    texts = {
        "banking77 questions": [r["text"] for r in rows(folder, "banking77_intents.jsonl")],
        "taskmaster4 user turns": [
            t for s in user_turns(folder, "taskmaster4_conversations.jsonl") for t in s
        ],
        "hh_harmless user turns": [
            t for s in user_turns(folder, "hh_harmless_dialogues.jsonl") for t in s[1:]
        ],
    }
    lines = ["| word lists | " + " | ".join(texts) + " |", "|---|" + "---|" * len(texts)]
    for name, reader in readers.items():
        cells = [wilson(sum(reader(t) is not None for t in group), len(group)) for group in texts.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    said = {"clarification": CLARIFYING, "frustration": FRUSTRATED, "escalation_request": ESCALATING}
    lines += ["", "| messages written by hand | caught | flagged among others |", "|---|---|---|"]
    for name, reader in readers.items():
        cells = [
            wilson(sum(reader(t) is not None for t in group), len(group)) for group in (said[name], OTHERS)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def outcome_section(folder: Path) -> list[str]:
    """Whether conversations that failed their task show more signals (tau-bench: simulated, polite customers)."""
    count: list[float] = []
    failed: list[bool] = []
    tasks: list[str] = []
    for record in rows(folder, "taubench_airline.jsonl"):
        said = [str(m["content"]) for m in record["messages"] if m["role"] == "user"]
        pairs = list(itertools.pairwise(said))
        count.append(float(sum(
            asked_again(p) or bool(frustration_in(p[1]) or clarification_in(p[1]) or escalation_in(p[1])) for p in pairs
        )))  # fmt: skip
        failed.append(record["reward"] < 1.0)
        tasks.append(str(record["task_id"]))
    value, positive = np.array(count), np.array(failed, dtype=bool)
    if not 0 < positive.sum() < len(positive):
        return []
    assert auroc(value, positive) >= 0
    return [
        "| taubench_airline | |",
        "|---|---|",
        f"| conversations with a signal, task failed | {wilson(int((value[positive] > 0).sum()), int(positive.sum()))} |",
        f"| conversations with a signal, task done | {wilson(int((value[~positive] > 0).sum()), int((~positive).sum()))} |",
        f"| AUROC of the number of signals for a failed task | {area(value, positive, tasks)} |",
    ]


def put_section(page: str, section: str) -> str:
    """The page with this section in place of the earlier one, at its end when there was none."""
    start = page.find(HEADING)
    if start < 0:
        return page.rstrip("\n") + "\n\n" + section
    end = page.find("\n## ", start + 1)
    return page[:start] + section + ("" if end < 0 else page[end:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--json", action="store_true")
    given: Any = parser.parse_args()
    folder = given.shared
    parts = [again_section(folder), words_section(folder), outcome_section(folder)]
    section = HEADING + "\n" + INTRO + "\n" + "\n\n".join("\n".join(p) for p in parts if p) + "\n"
    if given.json:
        print(json.dumps(parts))
    print(section)
    if given.write:
        given.write.write_text(put_section(given.write.read_text(), section))


if __name__ == "__main__":
    main()
