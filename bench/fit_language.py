"""Fit the letters of languages for `language`: `python bench/fit_language.py CORPUS.json [--measure]`.

The texts are the translations of programs under free licences (Django, Wagtail, django-oscar and Sphinx, BSD; django-allauth,
MIT), read from their `.po` files; `python bench/fit_language.py --read SITE_PACKAGES CORPUS.json` collects them from an environment
that holds these packages and Babel. With `--measure`, oscar and allauth are left out of the fit and measured on, nothing is written.
"""

import argparse
import base64
import json
import random
import re
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from fit import write
from language_lines import LINES
from watchkeeper.scoring.checks.language import WORDS
from watchkeeper.scoring.classifiers.letters import BUCKETS, Letters, grams, probabilities
from watchkeeper.scoring.texts import words

PACKAGES = ("django", "wagtail", "oscar", "allauth", "sphinx")
LEFT_OUT = ("oscar", "allauth")
CODES = {"pt": ("pt_BR", "pt", "pt_PT"), "es": ("es", "es_AR", "es_MX"), "no": ("nb", "no", "nb_NO"), "hr": ("hr", "hr_HR")}  # fmt: skip
_MARKUP = re.compile(r"%\([^)]*\)[a-z]|%[a-z]|\{[^}]*\}|<[^>]*>|&\w+;|https?:\S+|\\n")
Corpus = dict[str, dict[str, list[str]]]


def read(packages: Path, target: Path) -> None:
    """Collect the translated messages of every language, by package."""
    from babel.messages.pofile import read_po  # pyright: ignore[reportMissingImports]

    found: dict[str, dict[str, set[str]]] = {}
    for language in LINES:
        for code in CODES.get(language, (language,)):
            for package in PACKAGES:
                for path in sorted((packages / package).glob(f"**/{code}/**/*.po")):
                    with path.open("rb") as file:
                        messages = [m for m in read_po(file) if m.id and "fuzzy" not in m.flags]
                    for message in messages:
                        ids = message.id if isinstance(message.id, tuple) else (message.id,)
                        told = message.string if isinstance(message.string, tuple) else (message.string,)
                        for group, texts in (
                            ("en", ids),
                            (language, [t for t in told if t and t not in ids]),
                        ):
                            plain = [" ".join(_MARKUP.sub(" ", t).split()) for t in texts]
                            found.setdefault(group, {}).setdefault(package, set()).update(filter(None, plain))
    corpus = {k: {p: sorted(v) for p, v in d.items()} for k, d in found.items()}
    target.write_text(json.dumps(corpus, ensure_ascii=False), encoding="utf-8")


def windows(texts: list[str], count: int, shortest: int, longest: int, rng: random.Random) -> list[list[str]]:
    """So many runs of words from texts chosen at random."""
    tokens = [[w for w in words(t) if not any(c.isdigit() for c in w)] for t in texts]
    tokens = [t for t in tokens if t]
    out: list[list[str]] = []
    while len(out) < count:
        chosen, size = rng.choice(tokens), rng.randint(shortest, longest)
        start = rng.randint(0, max(0, len(chosen) - size))
        if sum(map(len, chosen[start : start + size])) >= 4:
            out.append(chosen[start : start + size])
    return out


def matrix(texts: list[list[str]]) -> csr_matrix:
    rows = [grams(t) for t in texts]
    data = np.concatenate([np.full(len(r), len(r) ** -0.5, np.float32) for r in rows])
    return csr_matrix(
        (data, np.concatenate(rows), np.cumsum([0, *map(len, rows)])), shape=(len(rows), BUCKETS)
    )


def fit(x: csr_matrix, y: np.ndarray, classes: int) -> np.ndarray:
    """Softmax weights (bucket × class) by AdaGrad."""
    w = np.zeros((BUCKETS, classes), np.float32)
    squares = np.full_like(w, 1e-8)
    order = np.random.default_rng(0)
    for _ in range(5):
        shuffled = order.permutation(len(y))
        for start in range(0, len(y), 2048):
            rows = shuffled[start : start + 2048]
            z = x[rows] @ w
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(len(rows)), y[rows]] -= 1
            slope = (x[rows].T @ p) / len(rows) + 2e-7 * w
            squares += slope * slope
            w -= 0.8 * slope / np.sqrt(squares)
    return w


def texts_of(corpus: Corpus, language: str, packages: tuple[str, ...]) -> list[str]:
    return [t for p in packages for t in corpus.get(language, {}).get(p, ())]


def learned(corpus: Corpus, packages: tuple[str, ...]) -> np.ndarray:
    rng = random.Random(5)
    texts: list[list[str]] = []
    y: list[int] = []
    lines = {k: v.split(" | ") for k, v in LINES.items()}
    for number, language in enumerate(LINES):
        made = windows(texts_of(corpus, language, packages), 6000, 1, 8, rng)
        made += windows(lines[language], 1000, 1, 6, rng)
        if language in WORDS:
            made += [rng.choices(WORDS[language], k=rng.randint(2, 5)) for _ in range(600)]
        texts += made
        y += [number] * len(made)
    return fit(matrix(texts), np.array(y), len(LINES))


def packed(w: np.ndarray) -> Letters:
    scale = np.abs(w).max(0) / 127
    whole = np.round(w / scale).astype(np.int8)
    return Letters(
        languages=tuple(LINES),
        scales=tuple(float(f"{s:.6g}") for s in scale),
        weights=base64.b85encode(whole.tobytes()).decode(),
        fitted_on="translations of Django, Wagtail, django-oscar, Sphinx (BSD) and django-allauth (MIT); bench/language_lines.py",
    )


def measure(corpus: Corpus, w: np.ndarray) -> None:
    """Windows of 2–6 words of the packages that were left out."""
    rng = random.Random(6)
    kept = tuple(LINES)
    rows: list[tuple[int, np.ndarray]] = []
    for number, language in enumerate(kept):
        texts = texts_of(corpus, language, LEFT_OUT)
        for window in windows(texts, 500, 2, 6, rng) if texts else ():
            own = grams(window)
            z = w[own].sum(0) * len(own) ** -0.5
            p = np.exp(z - z.max())
            rows.append((number, p / p.sum()))
    for least in (0.0, 0.6, 0.8, 0.9, 0.95):
        clear = [(n, p) for n, p in rows if p.max() >= least]
        right = sum(int(p.argmax()) == n for n, p in clear)
        print(
            f"at least {least}: {len(clear) / len(rows):.3f} judged, {right / len(clear):.3f} of them right"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("corpus", type=Path)
    given = parser.parse_args()
    if given.read:
        read(given.read, given.corpus)
        return
    corpus: Corpus = json.loads(given.corpus.read_text(encoding="utf-8"))
    if given.measure:
        measure(corpus, learned(corpus, tuple(p for p in PACKAGES if p not in LEFT_OUT)))
        return
    import msgspec

    write("language", msgspec.to_builtins(packed(learned(corpus, PACKAGES))))
    print(probabilities(words("Where is my parcel?")))


if __name__ == "__main__":
    main()
