"""Failures become signals that keep their ids, know how common they are, and reopen when a fix does not hold."""

import hashlib
import tracemalloc
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from watchkeeper.model.signal import Failure, Signal
from watchkeeper.reviewing import clusters
from watchkeeper.reviewing.fingerprint import fingerprint, near_duplicates, template
from watchkeeper.reviewing.measures import growth, prevalence, trend_of
from watchkeeper.reviewing.signals import Outcome, Traffic, decided, regroup, returned, severity_of
from watchkeeper.reviewing.similar import jaccard, shingles

HOUR = 3600 * 10**9
DAY = 24 * HOUR
NOW = 100 * DAY
STOP = {
    "the",
    "a",
    "is",
    "in",
    "to",
    "of",
    "about",
    "and",
    "but",
    "although",
    "by",
    "for",
    "it",
    "was",
    "has",
    "had",
}


def embed(texts: Sequence[Sequence[str]]) -> clusters.Vectors:
    """Every word is a fixed direction; a text is their sum."""
    out = np.zeros((len(texts), 64), dtype=np.float32)
    for i, words in enumerate(texts):
        for word in set(words) - STOP:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            out[i] += np.random.default_rng(seed).normal(size=64)
    return clusters.unit(out)


def failed(n: int, message: str, scorer: str = "relevance", source: str = "judge", **more: object) -> Failure:
    base = Failure(f"t{n:04d}", NOW - DAY * 3 + n * HOUR // 10, scorer, source, message)
    return msgspec.structs.replace(base, **more)


def run(
    failures: Sequence[Failure], before: Outcome | None = None, now: int = NOW, **more: object
) -> Outcome:
    traffic = more.pop("traffic", Traffic(1000, 100, now - 14 * DAY, now - DAY))
    return regroup(
        failures,
        [msgspec.structs.replace(s) for s in before.signals] if before else [],
        before.members if before else [],
        traffic,  # type: ignore[arg-type]
        now,
        project="p",
        embed=more.pop("embed", embed),  # type: ignore[arg-type]
        nightly=bool(more.pop("nightly", True)),
        **more,  # type: ignore[arg-type]
    )


REFUND = [
    "the answer ignores the refund question of the customer",
    "refund question ignored, the answer is about something else for the customer",
    "the customer asked about a refund and the answer ignores the question",
    "ignores the refund question the customer asked",
]
SPANISH = [
    "reply written in spanish although the user wrote english",
    "user wrote english but got a spanish reply",
    "the reply is in spanish, user wrote in english",
    "spanish reply to english user",
]


def mixed() -> list[Failure]:
    return [failed(i, REFUND[i % 4]) for i in range(8)] + [failed(100 + i, SPANISH[i % 4]) for i in range(8)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 numbers are not in the context: 4, 7, 12", "2 numbers are not in the context: 9, 81"),
        ("tool 'search' timed out after 3.5 s", "tool 'lookup' timed out after 12 s"),
        ("no order 7f3a9c1b22 for a@b.example", "no order 0011aabbcc for c.d@e.example"),
        ("see https://a.example/1", "see https://b.example/2?x=1"),
    ],
)
def test_it_takes_out_of_a_message_what_differs_between_occurrences(one: str, other: str) -> None:
    assert template(one) == template(other)


def test_it_tells_failures_apart_by_scorer_class_tool_path_and_words() -> None:
    base = failed(1, "wrong", "has_steps", "check")
    others = [
        msgspec.structs.replace(base, scorer="x"),
        msgspec.structs.replace(base, error_class="timeout"),
        msgspec.structs.replace(base, tool="search"),
        msgspec.structs.replace(base, path="agent"),
        msgspec.structs.replace(base, message="other"),
    ]
    prints = {fingerprint(f) for f in [base, *others]}
    assert len(prints) == 6
    assert fingerprint(msgspec.structs.replace(base, trace_id="zz", input="q", time_ns=5)) == fingerprint(
        base
    )


def test_a_persons_name_for_a_failure_is_its_whole_identity() -> None:
    a = failed(1, "left out the deadline", "human", "human", taxonomy="Missing steps")
    b = failed(2, "forgot the form", "human", "human", taxonomy="missing steps ")
    assert fingerprint(a) == fingerprint(b)


def test_near_duplicates_are_exactly_the_pairs_at_four_fifths() -> None:
    base = (
        "the assistant promised a delivery date that the order system does not contain, order number missing"
    )
    texts = [base, base + " now", "x" + base, base.replace("promised", "invented"), "something else entirely"]
    groups = near_duplicates(texts)
    sets = [shingles(t) for t in texts]
    for i in range(len(texts)):
        for j in range(i):
            if jaccard(sets[i], sets[j]) >= 0.8:
                assert groups[i] == groups[j]
    assert groups[4] not in groups[:4] and len(set(groups)) < 5
    assert near_duplicates([]) == [] and near_duplicates(["", ""]) == [0, 0]


def test_comparing_many_texts_takes_little_memory() -> None:
    texts = [" ".join(hashlib.sha256(b"%d.%d" % (i, j)).hexdigest() for j in range(6)) for i in range(300)]
    texts += [t[:-9] for t in texts[:20]]
    tracemalloc.start()
    groups = near_duplicates(texts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(groups)) == 300 and groups[300:] == groups[:20]
    assert peak < 40 * sum(map(len, texts))


def test_clusters_follow_average_linkage_also_beyond_the_sample() -> None:
    dice = np.random.default_rng(4)
    poles = np.eye(8, 32, dtype=np.float32)
    true = np.repeat(np.arange(8), 60)
    rows = clusters.unit(poles[true] + dice.normal(scale=0.08, size=(480, 32)).astype(np.float32))
    for sample in (3000, 100):
        found = np.array(clusters.cluster(rows, sample=sample))
        assert len(set(found.tolist())) == 8
        assert all(len(set(found[true == k].tolist())) == 1 for k in range(8))
    with_empty = np.vstack([rows[:3], np.zeros((2, 32), dtype=np.float32)])
    labels = clusters.cluster(with_empty)
    assert labels[3] != labels[4] and len({labels[3], labels[4]} & set(labels[:3])) == 0


def test_the_representative_is_the_member_nearest_to_all_by_weight() -> None:
    rows = clusters.unit(np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32))
    assert clusters.medoid(rows, [1, 1, 1]) == 1
    assert clusters.medoid(rows, [1, 1, 50]) == 2
    assert clusters.covering(rows, 1) == [2, 0]


def test_old_signals_are_matched_to_the_clusters_that_hold_most_of_them() -> None:
    a, b = {("t1", "s"), ("t2", "s")}, {("t3", "s"), ("t4", "s"), ("t5", "s")}
    new = [b | {("t9", "s")}, a, {("t7", "s")}]
    assert clusters.match([a, b], new) == {0: 1, 1: 0}
    assert clusters.match([], new) == {}


def test_the_same_failure_in_other_words_is_one_signal() -> None:
    made = run(mixed())
    assert sorted(s.traces for s in made.signals) == [8, 8] and made.waiting == 0
    home = {m.trace_id: m.signal_id for m in made.members}
    assert len({home[f"t{i:04d}"] for i in range(8)}) == 1 and home["t0000"] != home["t0100"]
    assert all(s.representative in home and s.representative not in s.examples for s in made.signals)


def test_no_similarity_crosses_scorers_or_tools() -> None:
    same = "the tool answered with an error"
    failures = [failed(i, same, "tool_error", "check", tool="search" if i % 2 else "pay") for i in range(8)]
    assert {(s.tool, s.traces) for s in run(failures).signals} == {("search", 4), ("pay", 4)}


def test_it_works_without_embeddings_on_fingerprints_alone() -> None:
    failures = [
        failed(i, f"answer has {i + 2} numbers not in the context", "numbers", "check") for i in range(5)
    ]
    (signal,) = run(failures, embed=None).signals
    assert signal.traces == 5 and signal.mean == [] and signal.representative == "t0004"


def test_rare_failures_wait_until_there_are_three() -> None:
    first = run([failed(0, SPANISH[0]), failed(1, SPANISH[1])])
    assert first.signals == [] and first.waiting == 2
    second = run([failed(i, SPANISH[i]) for i in range(3)], first, nightly=False)
    assert [s.traces for s in second.signals] == [3] and second.opened == [second.signals[0].id]


def test_one_failure_that_a_person_named_is_a_confirmed_signal_until_the_label_is_taken_back() -> None:
    label = failed(0, "deadline missing", "human", "human", taxonomy="no deadline", severity="critical")
    made = run([label])
    (signal,) = made.signals
    assert (signal.name, signal.state, signal.severity) == ("no deadline", "confirmed", "critical")
    assert run([], made).signals == []


def test_ids_survive_every_regrouping() -> None:
    made = run(mixed())
    ids = {s.representative: s.id for s in made.signals}
    for night in range(1, 4):
        window = [*mixed()[night:], failed(50 + night, REFUND[night])]
        made = run(window, made, NOW + night * DAY)
        assert {s.id for s in made.signals} == set(ids.values()) and made.opened == []


def test_by_day_newcomers_join_the_nearest_signal_and_strangers_wait() -> None:
    night = run(mixed())
    refund = {m.trace_id: m.signal_id for m in night.members}["t0000"]
    new = [
        failed(60, "the answer ignores the refund question the customer had"),
        failed(61, "profane words used"),
    ]
    day = run([*mixed(), *new], night, nightly=False)
    home = {m.trace_id: m.signal_id for m in day.members}
    assert home["t0060"] == refund and "t0061" not in home and day.waiting == 1


def test_a_signal_nobody_judged_goes_with_its_last_failure_and_a_judged_one_stays() -> None:
    made = run(mixed())
    made.signals[0] = decided(made.signals[0], NOW, state="confirmed")
    later = run([], made, NOW + 20 * DAY)
    assert [(s.id, s.traces) for s in later.signals] == [(made.signals[0].id, 0)]


def fixed_world() -> tuple[Outcome, list[Failure], str]:
    old = [msgspec.structs.replace(f, release="1.0") for f in mixed()[:8]]
    made = run(old)
    made.signals[0] = decided(made.signals[0], NOW, state="fixed", release="1.1")
    return made, old, made.signals[0].id


RELEASES = {"1.0": NOW - 10 * DAY, "1.1": NOW - HOUR, "1.2": NOW + 2 * DAY}


def again(made: Outcome, old: list[Failure], release: str | None, after: int) -> Signal:
    more = failed(
        70, "customer asked about a refund; answer ignores it", release=release, time_ns=NOW + after
    )
    now = NOW + 3 * DAY
    traffic = Traffic(1000, 100, now - 14 * DAY, now - DAY, RELEASES)
    (signal,) = run([*old, more], made, now, traffic=traffic).signals
    return signal


@pytest.mark.parametrize("release", ["1.1", "1.2"])
def test_a_fixed_signal_that_returns_in_a_release_with_the_fix_is_regressed_and_names_it(
    release: str,
) -> None:
    made, old, signal_id = fixed_world()
    signal = again(made, old, release, 2 * DAY)
    assert (signal.id, signal.state, signal.regressed_release) == (signal_id, "regressed", release)
    assert signal.regressed_trace == "t0070" and signal.regressed_ns == NOW + 3 * DAY


def test_an_old_release_still_draining_does_not_reopen_a_fix() -> None:
    made, old, _ = fixed_world()
    assert again(made, old, "1.0", DAY).state == "fixed"


def test_failures_from_before_the_fix_that_arrive_late_do_not_reopen_it() -> None:
    made, old, _ = fixed_world()
    assert again(made, old, "1.1", -HOUR // 2).state == "fixed"


def test_without_releases_time_alone_decides() -> None:
    signal = Signal("s", "p", "t", "x", "check", 0, 0, "fixed", fixed_ns=NOW)
    assert returned(signal, failed(1, "m", time_ns=NOW + 1), {})
    assert not returned(signal, failed(1, "m", time_ns=NOW), {})


def test_a_fix_in_a_release_not_seen_yet_is_not_broken_by_those_seen() -> None:
    signal = Signal("s", "p", "t", "x", "check", 0, 0, "fixed", fixed_ns=NOW, fixed_release="2.0")
    failure = failed(1, "m", time_ns=NOW + HOUR, release="1.1")
    assert not returned(signal, failure, RELEASES)


def test_what_a_person_decided_is_not_overwritten() -> None:
    made = run(mixed())
    made.signals[0] = decided(made.signals[0], NOW, owner="ana", severity="low", name="refunds")
    later = run(mixed(), made, NOW + DAY, owner_of=lambda _s: "team")
    mine = next(s for s in later.signals if s.id == made.signals[0].id)
    other = next(s for s in later.signals if s.id != made.signals[0].id)
    assert (mine.owner, mine.severity, mine.name) == ("ana", "low", "refunds") and other.owner == "team"
    with pytest.raises(ValueError, match="cannot make a signal 'regressed'"):
        decided(mine, NOW, state="regressed")
    with pytest.raises(ValueError, match="severity"):
        decided(mine, NOW, severity="huge")


def test_severity_is_what_people_said_else_high_for_safety_and_transport() -> None:
    assert severity_of([failed(1, "x", "pii_in_output", "check")]) == "high"
    assert severity_of([failed(1, "x", "c", "check", error_class="timeout")]) == "high"
    assert severity_of([failed(1, "x")]) == "medium"
    assert severity_of([failed(1, "x", severity="low"), failed(1, "x", "pii_in_output", "check")]) == "low"


def test_prevalence_weighs_sampled_failures_and_widens_for_them() -> None:
    seen, sampled = prevalence([1.0] * 50, 1000), prevalence([10.0] * 5, 1000)
    assert seen.value == sampled.value == pytest.approx(0.05)
    assert (
        seen.low is not None
        and seen.high is not None
        and sampled.low is not None
        and sampled.high is not None
    )
    assert sampled.high - sampled.low > 2 * (seen.high - seen.low)
    assert prevalence([], 0).value is None and prevalence([], 10).value == 0


def test_prevalence_intervals_cover_the_true_share() -> None:
    dice = np.random.default_rng(11)
    hit = 0
    for _ in range(400):
        fails = dice.random(2000) < 0.08
        seen = int((fails & (dice.random(2000) < 0.25)).sum())
        rate = prevalence([4.0] * seen, 2000)
        assert rate.low is not None and rate.high is not None
        hit += rate.low <= 0.08 <= rate.high
    assert 0.92 <= hit / 400 <= 0.98


def test_growth_is_said_only_when_the_interval_allows_it() -> None:
    grown = growth([1.0] * 30, [1.0] * 60, 100, 1000)
    assert grown.value == pytest.approx(9.0) and trend_of(grown) == "growing"
    assert trend_of(growth([1.0], [1.0] * 3, 100, 1000)) == "steady"
    assert trend_of(growth([], [1.0] * 200, 100, 1000)) == "shrinking"
    assert trend_of(growth([1.0], [1.0], 100, 100)) == "unknown"
    only_now = growth([1.0] * 9, [1.0] * 9, 100, 1000)
    assert only_now.value is None and only_now.low is not None and only_now.low > 1
