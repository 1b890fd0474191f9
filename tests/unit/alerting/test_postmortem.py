"""The draft of a post-mortem says what is known and lets nothing from a trace become markup."""

import re

from tests.unit.alerting.test_triage import ONSET, ask, made
from watchkeeper.alerting.postmortem import md, quoted, render
from watchkeeper.alerting.triage import Sample
from watchkeeper.model.alert import Alert, Moved
from watchkeeper.store.records.incidents import Entry

HOSTILE = "![x](http://evil) <img src=x> |cell| `code` ```\n# title\n[a](javascript:1)\x1b[31m"


def alert() -> Alert:
    line = Moved("answer_relevance", 8.2, 8.1, 8.3, 4000, 6.5, 6.3, 6.7, 412, "", True)
    return Alert(
        "a", "default", "relevance-down", {"prompt_version": HOSTILE}, "firing", "page", "ml", "https://r.example/x",
        "shift(answer_relevance) = 'down'", ONSET, ONSET, ONSET + 1, summary=f"fell {HOSTILE}",
        evidence={"suspicion": HOSTILE}, moved=[line],
        worst=[{"trace_id": "0af7", "value": 1.2, "input_text": HOSTILE, "output_text": "fine"}],
    )  # fmt: skip


def draft(content: bool = True) -> str:
    import numpy as np

    after, value, version = made(np.random.default_rng(2), ["v1", "v2"], {"v2": 2.0})
    found = ask(Sample(after, value, np.ones(after.size), {"prompt_version": version}))
    lines = [Entry(1, ONSET, "comment", "ann", f"looking {HOSTILE}", {})]
    return render(
        f"t {HOSTILE}",
        "resolved",
        "page",
        "ml",
        ONSET,
        ONSET + 7200 * 10**9,
        lines,
        [alert()],
        found,
        "",
        content,
    )


def test_it_holds_the_figures_the_triage_and_the_story() -> None:
    text = draft()
    assert "8.20 ± 0.10 · n 4,000" in text and "6.5 ± 0.2 · n 412" in text
    assert "Generation: explains it." in text and "prompt\\_version v2" in text
    assert "2.0 h after it began" in text and "comment: looking" in text
    assert "*to write" in text


def test_text_from_traces_stays_text() -> None:
    for line in draft().splitlines():
        if line.startswith("    "):
            continue
        assert (
            not re.search(r"(?<!\\)!\[|(?<!\\)\]\(|<img|javascript:1\)(?!.*\\\])", line) or "\\[" in line
        ), line
        assert "\x1b" not in line
    assert md("# a") == "\\# a" and "<" not in md("<b>")
    assert all(line.startswith("    ") for line in quoted("a\n# b\n```\n").splitlines())


def test_prompts_and_outputs_are_left_out_for_whoever_may_not_see_them() -> None:
    assert "    fine" in draft() and "    fine" not in draft(content=False)
