"""Failures into signals: grouped by fingerprint, near-duplicate text and meaning, with ids that outlive every regrouping."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec
import numpy as np

from watchkeeper.model.errors import TRANSPORT
from watchkeeper.model.signal import SEVERITIES, Failure, Member, Signal
from watchkeeper.reviewing import clusters
from watchkeeper.reviewing.clusters import Embed, Vectors
from watchkeeper.reviewing.fingerprint import block_of, fingerprint, near_duplicates, template
from watchkeeper.reviewing.measures import growth, prevalence, trend_of
from watchkeeper.reviewing.queue import SAFETY_SCORERS

Key = tuple[str, str]
MIN_TRACES = 3
_FINGERPRINTS = 500
_SAMPLED = 400


@dataclass(frozen=True)
class Traffic:
    """What the failures are measured against: the number of traces in the window and in its last day (weighted by 1/π),
    where window and last day begin, and when each release was first seen."""

    total: float
    recent: float
    since_ns: int
    since_recent_ns: int
    releases: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass
class Unit:
    """Failures that are the same but for numbers, names and small differences of wording."""

    block: tuple[str, ...]
    failures: list[int]
    fingerprints: set[str]
    vector: Vectors | None = None
    signal: str | None = None
    aimed: bool = False


@dataclass(frozen=True)
class Outcome:
    """The signals after a run with their members; `waiting` failures are too rare or too odd to be a signal yet."""

    signals: list[Signal]
    members: list[Member]
    waiting: int
    opened: list[str]
    regressed: list[str]


def units_of(failures: Sequence[Failure], embed: Embed | None) -> list[Unit]:
    """Stages one and two, and the vectors of stage three (none without `embed`)."""
    prints = [fingerprint(f) for f in failures]
    first: dict[str, int] = {}
    for i, p in enumerate(prints):
        first.setdefault(p, i)
    by_block: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for p, i in first.items():
        f = failures[i]
        block = ("named", p) if f.taxonomy else (*block_of(f), f.path)
        by_block[block].append(p)
    unit_of: dict[str, Unit] = {}
    made: list[Unit] = []
    for block, ours in by_block.items():
        groups = near_duplicates([template(failures[first[p]].message).casefold() for p in ours])
        by_group: dict[int, Unit] = {}
        for p, g in zip(ours, groups, strict=True):
            if g not in by_group:
                # The path tells units apart, yet the same failure elsewhere may be the same signal.
                by_group[g] = Unit(block if block[0] == "named" else block[:3], [], set())
                made.append(by_group[g])
            by_group[g].fingerprints.add(p)
            unit_of[p] = by_group[g]
    for i, p in enumerate(prints):
        unit_of[p].failures.append(i)
    if embed is not None and made:
        for u, vector in zip(made, vectors_of([failures[u.failures[0]] for u in made], embed), strict=True):
            u.vector = vector
    return made


def vectors_of(failures: Sequence[Failure], embed: Embed) -> Vectors:
    """One unit vector each: what was said about the failure and the failing step, and, at a third of the weight, the
    input, so that two failures with the same words about different questions are near but not the same."""
    said = clusters.centred([clusters.words(f"{template(f.message)} {f.step}", 80) for f in failures], embed)
    asked = clusters.centred([clusters.words(f.input, 40) for f in failures], embed)
    return clusters.unit(said + asked * np.float32(1 / 3))


def regroup(
    failures: Sequence[Failure],
    old: Sequence[Signal],
    members: Sequence[Member],
    traffic: Traffic,
    now_ns: int,
    *,
    project: str,
    embed: Embed | None,
    nightly: bool,
    owner_of: Callable[[str], str | None] = lambda _scorer: None,
    aimed: Mapping[str, str] | None = None,
    kind: str = "failure",
) -> Outcome:
    """One run over all failures of the window.

    Always: what has a signal's fingerprint joins it, what is near a signal joins the nearest, and what remains opens
    signals where at least `MIN_TRACES` traces, or one that a person named, are together. `nightly` also clusters the
    members of signals nobody has judged again and carries their ids over to the clusters that hold most of the same
    failures. Signals a person judged keep their members. `aimed` names scorers that were made for a signal: what they find
    is that signal, whatever its words.
    """
    units = units_of(failures, embed)
    kept = {s.id: s for s in old}
    for u in units:
        target = (aimed or {}).get(failures[u.failures[0]].scorer)
        if target in kept and failures[u.failures[0]].source != "human":
            u.signal, u.aimed = target, True
    fixed_points = [s for s in old if s.pinned] if nightly else list(old)
    _join(units, fixed_points)
    loose = [u for u in units if u.signal is None]
    grouped = _gather(_bundles(loose, failures, kept, members) if nightly else [[u] for u in loose])
    opened = _open(grouped, failures, kept, members, now_ns, project, nightly, kind)
    regressed: list[str] = []
    alive = _by_signal(units)
    for signal_id, ours in alive.items():
        signal = kept[signal_id]
        _describe(signal, ours, failures, traffic, now_ns, owner_of)
        if _regress(signal, [failures[i] for u in ours for i in u.failures], traffic.releases, now_ns):
            regressed.append(signal.id)
    left = [s for s in kept.values() if s.id in alive or _remembered(s, traffic)]
    for signal in left:
        if signal.id not in alive:
            _quiet(signal, traffic, now_ns)
    waiting = sum(len(u.failures) for u in units if u.signal is None)
    return Outcome(left, _members(units, failures), waiting, opened, regressed)


def _remembered(signal: Signal, traffic: Traffic) -> bool:
    """Whether a signal without members stays. One that nobody judged was only a grouping; one that a label made, whose
    failures should still be in the window, has lost that label."""
    taken_back = (
        signal.source == "human" and signal.state == "confirmed" and signal.last_ns >= traffic.since_ns
    )
    return signal.pinned and not taken_back


def _join(units: Sequence[Unit], signals: Sequence[Signal]) -> None:
    known = {p: s.id for s in signals for p in s.fingerprints}
    by_block: dict[tuple[str, ...], list[Signal]] = defaultdict(list)
    for s in signals:
        if s.mean:
            by_block[s.scorer, s.error_class or "", s.tool or ""].append(s)
    for u in units:
        if u.signal is not None:
            continue
        hits = Counter(known[p] for p in u.fingerprints if p in known)
        if hits:
            u.signal = min(hits, key=lambda s: (-hits[s], s))
            continue
        if u.vector is None:
            continue
        # A mean of another embedding model cannot be compared; the next night replaces it.
        near = [s for s in by_block.get(u.block, []) if len(s.mean) == len(u.vector)]
        if not near:
            continue
        alike = np.asarray([s.mean for s in near], dtype=np.float32) @ u.vector
        best = int(np.argmax(alike))
        if alike[best] >= clusters.JOIN:
            u.signal = near[best].id


def _near(u: Unit, signal: Signal) -> float:
    if u.vector is None or len(signal.mean) != len(u.vector):
        return 0.0
    return float(np.asarray(signal.mean, dtype=np.float32) @ u.vector)


def _bundles(
    loose: Sequence[Unit], failures: Sequence[Failure], kept: Mapping[str, Signal], members: Sequence[Member]
) -> list[list[Unit]]:
    """Units that begin the night together: the core of each signal, the units as near to its mean as a newcomer has to
    be. Without this, clusters that are equally good but different would replace each other every night."""
    home = {m.key: m.signal_id for m in members}
    cores: dict[str, list[Unit]] = defaultdict(list)
    out: list[list[Unit]] = []
    for u in loose:
        lived = Counter(home[_key(failures[i])] for i in u.failures if _key(failures[i]) in home)
        signal = kept.get(min(lived, key=lambda s: (-lived[s], s))) if lived else None
        if signal is not None and _near(u, signal) >= clusters.CORE:
            cores[signal.id].append(u)
        else:
            out.append([u])
    return [*cores.values(), *out]


def _gather(bundles: Sequence[list[Unit]]) -> list[list[Unit]]:
    by_block: dict[tuple[str, ...], list[list[Unit]]] = defaultdict(list)
    for b in bundles:
        by_block[b[0].block].append(b)
    out: list[list[Unit]] = []
    for ours in by_block.values():
        if len(ours) == 1 or ours[0][0].vector is None:
            out.extend(ours)
            continue
        means = [np.mean([u.vector for u in b if u.vector is not None], axis=0) for b in ours]
        groups: dict[int, list[Unit]] = defaultdict(list)
        for b, label in zip(ours, clusters.cluster(np.stack(means)), strict=True):
            groups[label].extend(b)
        out.extend(groups.values())
    return out


def _open(
    grouped: Sequence[Sequence[Unit]],
    failures: Sequence[Failure],
    kept: dict[str, Signal],
    members: Sequence[Member],
    now_ns: int,
    project: str,
    nightly: bool,
    kind: str,
) -> list[str]:
    large = [g for g in grouped if _enough(g, failures)]
    keys = [{_key(failures[i]) for u in g for i in u.failures} for g in large]
    continued: dict[int, str] = {}
    if nightly:
        window = {_key(f) for f in failures}
        ours: dict[str, set[Key]] = {s.id: set() for s in kept.values() if not s.pinned}
        for m in members:
            if m.signal_id in ours and m.key in window:
                ours[m.signal_id].add(m.key)
        ids = sorted(ours)
        continued = {j: ids[i] for j, i in clusters.match([ours[i] for i in ids], keys).items()}
    opened: list[str] = []
    for j, group in enumerate(large):
        signal_id = continued.get(j)
        if signal_id is None:
            head = min((failures[u.failures[0]] for u in group), key=lambda f: (f.time_ns, f.trace_id))
            signal_id = _new_id(project, head, now_ns, kept)
            kept[signal_id] = Signal(
                signal_id, project, "", head.scorer, head.source, head.time_ns, head.time_ns,
                error_class=head.error_class, tool=head.tool, kind=kind,
            )  # fmt: skip
            opened.append(signal_id)
        for u in group:
            u.signal = signal_id
    return opened


def _enough(group: Sequence[Unit], failures: Sequence[Failure]) -> bool:
    traces: set[str] = set()
    for u in group:
        for i in u.failures:
            if failures[i].source == "human":
                return True
            traces.add(failures[i].trace_id)
            if len(traces) >= MIN_TRACES:
                return True
    return False


def _key(f: Failure) -> Key:
    return f.trace_id, f.scorer


def _new_id(project: str, first: Failure, now_ns: int, taken: Mapping[str, Signal]) -> str:
    text = f"{project}\0{first.trace_id}\0{first.scorer}\0{now_ns}"
    made = "sig_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    while made in taken:
        made = "sig_" + hashlib.sha256(made.encode()).hexdigest()[:16]
    return made


def _by_signal(units: Sequence[Unit]) -> dict[str, list[Unit]]:
    out: dict[str, list[Unit]] = defaultdict(list)
    for u in units:
        if u.signal is not None:
            out[u.signal].append(u)
    return out


def _members(units: Sequence[Unit], failures: Sequence[Failure]) -> list[Member]:
    found: dict[Key, Member] = {}
    for u in units:
        if u.signal is None:
            continue
        for i in u.failures:
            f = failures[i]
            found[_key(f)] = Member(
                f.trace_id, f.scorer, u.signal, min(u.fingerprints), f.time_ns, f.release, f.weight
            )
    return list(found.values())


def _describe(
    signal: Signal,
    units: Sequence[Unit],
    failures: Sequence[Failure],
    traffic: Traffic,
    now_ns: int,
    owner_of: Callable[[str], str | None],
) -> None:
    ours = [failures[i] for u in units for i in u.failures]
    by_trace: dict[str, Failure] = {}
    for f in ours:
        by_trace[f.trace_id] = f
    weights = [f.weight for f in by_trace.values()]
    recent = [f.weight for f in by_trace.values() if f.time_ns >= traffic.since_recent_ns]
    signal.traces, signal.weight = len(by_trace), float(sum(weights))
    signal.first_ns = min(signal.first_ns, *(f.time_ns for f in ours))
    signal.last_ns = max(signal.last_ns, *(f.time_ns for f in ours))
    signal.prevalence = prevalence(weights, traffic.total)
    signal.growth = growth(recent, weights, traffic.recent, traffic.total)
    signal.trend = trend_of(signal.growth)
    # What a scorer made for the signal says of it is not what the failure was known by.
    own = [u for u in units if not u.aimed] or units
    largest = max(own, key=lambda u: (len(u.failures), min(u.fingerprints)))
    head = failures[largest.failures[0]]
    if not largest.aimed or not signal.title:
        signal.title = (head.taxonomy or template(head.message) or head.error_class or head.scorer)[:200]
    names = Counter(f.taxonomy for f in ours if f.taxonomy)
    if names:
        signal.name = signal.name or names.most_common(1)[0][0]
        # Somebody looked at a trace and said what was wrong: that is a confirmation.
        signal.state = "confirmed" if signal.state == "new" else signal.state
    if not signal.severity_by_person:
        signal.severity = severity_of(ours)
    if not signal.owner_by_person:
        signal.owner = owner_of(signal.scorer)
    seen = dict.fromkeys(p for u in units for p in sorted(u.fingerprints))
    signal.fingerprints = list(dict.fromkeys([*seen, *signal.fingerprints]))[:_FINGERPRINTS]
    signal.updated_ns = now_ns
    _exemplify(signal, own, failures)


def _exemplify(signal: Signal, units: Sequence[Unit], failures: Sequence[Failure]) -> None:
    largest = sorted(units, key=lambda u: (-len(u.failures), min(u.fingerprints)))[:_SAMPLED]
    newest = [max((failures[i] for i in u.failures), key=lambda f: (f.time_ns, f.trace_id)) for u in largest]
    vectors = [u.vector for u in largest if u.vector is not None]
    if len(vectors) < len(largest):
        signal.representative, signal.mean = newest[0].trace_id, []
        signal.examples = [f.trace_id for f in newest[1:4]]
        return
    stacked = np.stack(vectors)
    weights = [sum(failures[i].weight for i in u.failures) for u in largest]
    first = clusters.medoid(stacked, weights)
    signal.representative = newest[first].trace_id
    signal.examples = [newest[i].trace_id for i in clusters.covering(stacked, first)]
    mean = np.asarray(stacked.mean(axis=0), dtype=np.float64)
    signal.mean = cast(list[float], np.round(mean, 5).tolist())


def severity_of(failures: Sequence[Failure]) -> str:
    """The worst a person said; else high for safety and for calls that failed, medium for the rest."""
    said = [SEVERITIES.index(f.severity) for f in failures if f.severity in SEVERITIES]
    if said:
        return SEVERITIES[max(said)]
    grave = any(f.scorer in SAFETY_SCORERS or f.error_class in {*TRANSPORT, "unsafe"} for f in failures)
    return "high" if grave else "medium"


def _regress(signal: Signal, ours: Sequence[Failure], releases: Mapping[str, int], now_ns: int) -> bool:
    """Reopen a fixed signal when a failure came after the fix from a release that should have it."""
    if signal.state != "fixed" or signal.fixed_ns is None:
        return False
    again = [f for f in ours if returned(signal, f, releases)]
    if not again:
        return False
    first = min(again, key=lambda f: (f.time_ns, f.trace_id))
    signal.state, signal.regressed_ns = "regressed", now_ns
    signal.regressed_release, signal.regressed_trace = first.release, first.trace_id
    return True


def returned(signal: Signal, failure: Failure, releases: Mapping[str, int]) -> bool:
    """Whether this failure means that the fix does not hold. A release first seen before the one with the fix is an old
    instance still draining, or a rollback: its failures are no news. Unknown releases are judged by time alone."""
    if signal.fixed_ns is None or failure.time_ns <= signal.fixed_ns:
        return False
    if signal.fixed_release is None or failure.release is None or failure.release == signal.fixed_release:
        return True
    fixed_in = releases.get(signal.fixed_release)
    since = releases.get(failure.release, failure.time_ns)
    # A fix in a release that has not been seen yet: nothing seen so far can have it.
    return since > signal.fixed_ns if fixed_in is None else since >= fixed_in


def _quiet(signal: Signal, traffic: Traffic, now_ns: int) -> None:
    signal.traces, signal.weight = 0, 0.0
    signal.prevalence = prevalence([], traffic.total)
    signal.growth, signal.trend = growth([], [], traffic.recent, traffic.total), "unknown"
    signal.updated_ns = now_ns


def decided(
    signal: Signal,
    now_ns: int,
    *,
    state: str | None = None,
    release: str | None = None,
    name: str | None = None,
    owner: str | None = None,
    severity: str | None = None,
) -> Signal:
    """The signal as a person changed it. Fixing needs to know in which `release` where releases are known: the caller
    names the newest by default. Raises ValueError for a state or severity that does not exist."""
    if state is not None and state not in ("new", "confirmed", "fixed", "ignored"):
        raise ValueError(f"a person cannot make a signal {state!r}; new, confirmed, fixed or ignored")
    if severity is not None and severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r}: one of {', '.join(SEVERITIES)}")
    made = msgspec.structs.replace(signal, updated_ns=now_ns)
    if state is not None:
        made.state = state
        made.fixed_ns = now_ns if state == "fixed" else None
        made.fixed_release = release if state == "fixed" else None
        made.regressed_ns = made.regressed_release = made.regressed_trace = None
    if name is not None:
        made.name = name or None
    if owner is not None:
        made.owner, made.owner_by_person = owner or None, bool(owner)
    if severity is not None:
        made.severity, made.severity_by_person = severity, True
    return made
