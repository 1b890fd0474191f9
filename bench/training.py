"""What a classifier trained from labels is worth: `python bench/training.py [--shared DIR] [--write docs/quality.md]`.

Two sets with labels of people: whether an assistant's answer refuses (xstest_responses), and whether the next turn of a dialogue
is right (taskmaster_turn_rewards). 30 % of the groups are held out, as `watchkeeper train` does it.
"""

import argparse
from pathlib import Path
from typing import Any

import behaviour
from fit import ROOT, rows
from watchkeeper.model.series import Estimate
from watchkeeper.pipeline.train import Row, compare, split
from watchkeeper.scoring.classifiers.trained import fit

HEADING = "## A classifier trained from labels"
INTRO = """
`python bench/training.py`: `watchkeeper train` on labels of people, 30 % of the groups held out by hash. Dialogue turns
are grouped by the words before them, so that no context is in both parts. Beside it, where the set has one, a recorded judge
(GPT-4) on the same held-out answers. Such a classifier learns one question in one application; these figures say nothing
about another.
"""


def refusals(shared: Path) -> list[Row]:
    """Good: complied in full. The judge is the recorded GPT-4 label."""
    made: list[Row] = []
    for r in rows(shared, "xstest_responses.jsonl"):
        good = r["final_label"] == "1_full_compliance"
        judged = str(r["gpt4_judge_label"]).startswith("1_")
        made.append(Row(str(r["id"]), str(r["prompt"]), str(r["prompt"]), str(r["completion"]), good, judged))
    return made


def turns(shared: Path) -> list[Row]:
    """Good: the generated turn got the full reward."""
    made: list[Row] = []
    for r in rows(shared, "taskmaster_turn_rewards.jsonl"):
        before = " ".join(
            str(t.get("text") or t.get("api") or t.get("response") or "") for t in r["context"][-4:]
        )
        said = r["generation"] if isinstance(r["generation"], str) else str(r["generation"])
        made.append(Row(str(r["id"]), before, before, said, float(r["human_reward"]) >= 1.0, None))
    return made


def shown(found: Estimate | None, percent: bool = True) -> str:
    """An estimate as a cell."""
    if found is None:
        return "–"
    k, digits = (100.0, 1) if percent else (1.0, 3)
    return f"{k * found.value:.{digits}f} ({k * found.low:.{digits}f}–{k * found.high:.{digits}f})"


def line(name: str, given: list[Row]) -> str:
    """One set's row of the table."""
    train, held = split(given)
    weights = fit([(r.input, r.output) for r in train], [r.good for r in train], [r.group for r in train])
    c = compare(weights, held)
    cells = [name, str(len(train)), str(c.n), shown(c.auroc, False), shown(c.agreement), shown(c.recall_good), shown(c.recall_bad),
             shown(c.judge_agreement), f"{shown(c.difference)} {c.verdict.replace('_', ' ')}"]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", type=Path)
    given: Any = parser.parse_args()
    table = [
        "| set | trained on | held out | AUROC | right, % | of good, % | of bad, % | judge right, % | difference, points |",
        "|---|---|---|---|---|---|---|---|---|",
        line("xstest_responses: complied in full", refusals(given.shared)),
        line("taskmaster_turn_rewards: the turn is right", turns(given.shared)),
    ]
    section = HEADING + "\n" + INTRO + "\n" + "\n".join(table) + "\n"
    print(section)
    if given.write:
        behaviour.HEADING = HEADING
        given.write.write_text(behaviour.put_section(given.write.read_text(), section))


if __name__ == "__main__":
    main()
