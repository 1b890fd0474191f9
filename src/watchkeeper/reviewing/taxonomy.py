"""Names for failures out of what reviewers wrote: comments that say the same become one proposed name."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from watchkeeper.model.review import Label
from watchkeeper.reviewing import clusters
from watchkeeper.reviewing.clusters import COMMON, Embed
from watchkeeper.reviewing.fingerprint import near_duplicates, template

ENOUGH = 50
TOGETHER = 0.35
LEAST = 2
_DULL = {
    *COMMON, "answer", "answers", "answered", "response", "reply", "says", "said", "should", "must", "not", "never", "does",
    "doesn", "didn", "don", "isn", "wasn", "very", "too", "also", "user", "customer", "again", "just", "really", "bad", "wrong",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Suggested:
    """A name proposed for bad labels that seem to mean the same: `definition` is the comment most like all others, `labels` are
    theirs, `comments` up to five in their own words, `existing` the name most of them have already."""

    name: str
    definition: str
    labels: tuple[str, ...]
    comments: tuple[str, ...]
    existing: str | None = None


def suggest(labels: Sequence[Label], embed: Embed | None, least: int = LEAST) -> list[Suggested]:
    """The names that bad labels with a comment call for, the most frequent first; groups of fewer than `least` are none.

    Equal and nearly equal comments are one; with `embed` (unit vectors of texts as words) the rest is clustered by meaning. A name
    is the words that set a group apart from the others, by how often they occur in it and how seldom elsewhere (class-based
    TF-IDF, Grootendorst 2022).
    """
    said = [x for x in labels if x.verdict == "bad" and x.comment and _WORD.search(x.comment)]
    if not said:
        return []
    texts = [template(x.comment or "").casefold() for x in said]
    groups = _groups(texts, embed)
    words = [Counter(w for i in g for w in set(_words(texts[i]))) for g in groups]
    everywhere = Counter(w for counted in words for w in counted)
    taken: set[str] = set()
    out: list[Suggested] = []
    for g, counted in sorted(zip(groups, words, strict=True), key=lambda p: (-len(p[0]), p[0])):
        if len(g) < least:
            continue
        named = Counter(x.taxonomy for i in g if (x := said[i]).taxonomy)
        existing = next((n for n, k in named.most_common(1) if k > len(g) / 2), None)
        name = existing or _name(counted, everywhere, len(groups), taken, len(g))
        taken.add(name)
        first = _typical(g, texts, embed)
        quotes = list(dict.fromkeys(said[i].comment or "" for i in [first, *g]))[:5]
        out.append(
            Suggested(
                name,
                (said[first].comment or "").strip()[:500],
                tuple(said[i].id for i in g),
                tuple(quotes),
                existing,
            )
        )
    return out


def _words(text: str) -> list[str]:
    return [w for w in _WORD.findall(text) if w not in _DULL]


def _meant(text: str) -> list[str]:
    """The words that say what is wrong. All comments say that an answer is wrong: with those words the meaning of short ones is the same."""
    said = clusters.words(text, 80)
    return [w for w in said if w not in _DULL] or said


def _groups(texts: Sequence[str], embed: Embed | None) -> list[list[int]]:
    alike = near_duplicates(texts)
    first = {g: i for i, g in reversed(list(enumerate(alike)))}
    heads = sorted(first.values())
    place = {first[g]: [i for i, other in enumerate(alike) if other == g] for g in first}
    if embed is None:
        return [place[h] for h in heads]
    vectors = clusters.centred([_meant(texts[h]) for h in heads], embed)
    found: dict[int, list[int]] = defaultdict(list)
    for h, label in zip(heads, clusters.cluster(vectors, TOGETHER), strict=True):
        found[label] += place[h]
    return [sorted(members) for members in found.values()]


def _name(counted: Counter[str], everywhere: Counter[str], groups: int, taken: set[str], size: int) -> str:
    def weight(word: str) -> float:
        return counted[word] / size * float(np.log(1 + groups / everywhere[word]))

    best = sorted(counted, key=lambda w: (-weight(w), -len(w), w))[:3]
    name = "_".join(best[:2]) or "other"
    if name in taken:
        name = "_".join(best) or "other"
    number = 2
    while name in taken:
        name, number = f"{'_'.join(best[:2]) or 'other'}_{number}", number + 1
    return name


def _typical(group: Sequence[int], texts: Sequence[str], embed: Embed | None) -> int:
    if embed is None or len(group) == 1:
        return min(group, key=lambda i: (len(texts[i]), i))
    vectors = clusters.centred([_meant(texts[i]) for i in group], embed)
    return group[clusters.medoid(vectors, [1.0] * len(group))]
