"""Failures of the last weeks become signals, again and again: by day what is new finds its place, by night all is regrouped."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.model.errors import PRECEDENCE
from watchkeeper.model.review import Label
from watchkeeper.model.signal import KINDS, Failure, Signal
from watchkeeper.model.times import DAY, Clock
from watchkeeper.reviewing.clusters import Embed
from watchkeeper.reviewing.queue import DEFAULT_POLICIES, ReviewPolicy
from watchkeeper.reviewing.signals import Outcome, Traffic, regroup
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import managed, reviews, signals, states
from watchkeeper.store.records.engine import Records

WINDOW_DAYS = 14
LIMIT = 20_000
ASKED = 5_000
_CHANGED_BY_PEOPLE = (
    "state", "name", "severity", "severity_by_person", "owner", "owner_by_person", "fixed_ns", "fixed_release",
    "regressed_ns", "regressed_release", "regressed_trace",
)  # fmt: skip


def lows_of(policies: Sequence[ReviewPolicy]) -> dict[str, float]:
    """Below which value a scorer's score is a failure, from the review queue's policy for low scores. Its other limits
    only choose what is worth a look: a measurement nobody calibrated is no failure."""
    low = (p for p in policies if p.source == "low_score" and p.below is not None)
    return {s: p.below for p in low if p.below is not None for s in p.scorers}


class SignalFlow:
    """Groups a project's failures into signals. `embed` gives unit vectors of texts as words; without it failures are
    grouped by fingerprint and near-duplicate text only. `owner_of(project, scorer)` names who answers for a scorer."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Clock,
        embed: Embed | None,
        *,
        owner_of: Callable[[str, str], str | None] = lambda _project, _scorer: None,
        low: Mapping[str, float] | None = None,
        window_days: int = WINDOW_DAYS,
    ) -> None:
        self.columns = columns
        self.records = records
        self.clock = clock
        self.embed = embed
        self.owner_of = owner_of
        self.low = dict(lows_of(DEFAULT_POLICIES) if low is None else low)
        self.window_ns = window_days * DAY
        self.counts: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    async def run_once(self, project: str) -> Outcome:
        """Bring the project's signals up to the clock; once a day everything nobody has judged is regrouped."""
        async with self._turn:
            now = self.clock()
            since = now - self.window_ns
            was, members, labels, last, aimed = await self.records.read(
                lambda c: (
                    signals.find(c, project),
                    signals.members(c, project),
                    [x for x in reviews.labels_of(c, project) if x.time_ns >= since],
                    states.get(c, project, "signals", "night"),
                    managed.scorers(c, project),
                )
            )
            failures = await self._failures(project, since, now, labels)
            traffic = await self._traffic(project, since, now)
            night = int((last or {}).get("ns", 0))
            nightly = now - night >= DAY or now < night
            made = await asyncio.to_thread(
                regroup, failures, [msgspec.structs.replace(s) for s in was], members, traffic, now,
                project=project, embed=self.embed, nightly=nightly, owner_of=lambda s: self.owner_of(project, s),
                aimed=aimed,
            )  # fmt: skip

            def store(conn: Connection) -> None:
                signals.replace(conn, project, was, made.signals, made.members, merged)
                if nightly:
                    states.put(conn, project, "signals", "night", {"ns": now}, now)

            await self.records.write(store)
            self._count(failures, made)
            if nightly:
                for kind in KINDS[1:]:
                    await self._asked(project, kind, since, now, traffic)
            return made

    async def _asked(self, project: str, kind: str, since: int, now: int, traffic: Traffic) -> Outcome:
        """Group what people asked in the same way: all of it (`topic`), or what was not answered (`unanswered`)."""
        found = await self.columns.named(
            "signals_inputs" if kind == "topic" else "signals_unanswered", project, since=since, until=now + 1,
            limit=ASKED, **({} if kind == "topic" else self._low()),
        )  # fmt: skip
        rows = found.dicts()
        # A sample of n stands for all of the window: every trace in it for N/n.
        sampled = sum(float(r["weight"]) for r in rows)
        times = float(rows[0]["total"]) / sampled if rows and kind == "topic" and sampled > 0 else 1.0
        asked = [
            Failure(
                str(r["trace_id"]), int(r["at"]), kind, kind, str(r["input"]), release=r["release"] or None,
                weight=max(float(r["weight"]), 1.0) * max(times, 1.0),
            )
            for r in sorted(rows, key=lambda r: (int(r["at"]), str(r["trace_id"]))) if str(r["input"]).strip()
        ]  # fmt: skip
        was, members = await self.records.read(
            lambda c: (signals.find(c, project, kind=kind), signals.members(c, project, kind=kind))
        )
        made = await asyncio.to_thread(
            regroup, asked, [msgspec.structs.replace(s) for s in was], members, traffic, now,
            project=project, embed=self.embed, nightly=True, kind=kind,
        )  # fmt: skip
        await self.records.write(
            lambda c: signals.replace(c, project, was, made.signals, made.members, merged, kind)
        )
        self.counts[f"{kind}_read"] += len(asked)
        return made

    def _low(self) -> dict[str, Any]:
        return {"low_names": list(self.low), "low_values": list(self.low.values())}

    def _count(self, failures: Sequence[Failure], made: Outcome) -> None:
        self.counts["runs"] += 1
        self.counts["failures_read"] += len(failures)
        self.counts["opened"] += len(made.opened)
        self.counts["regressed"] += len(made.regressed)
        self.counts["full_windows"] += len(failures) >= LIMIT

    async def _traffic(self, project: str, since: int, now: int) -> Traffic:
        recent = now - DAY
        found = await self.columns.named(
            "signals_traffic", project, since=since, until=now + 1, recent=recent
        )
        rows = found.dicts()
        return Traffic(
            sum(float(r["total"]) for r in rows),
            sum(float(r["lately"]) for r in rows),
            since,
            recent,
            {str(r["version"]): int(r["first_seen"]) for r in rows if r["version"]},
        )

    async def _failures(self, project: str, since: int, now: int, labels: Sequence[Label]) -> list[Failure]:
        span = {"since": since, "until": now + 1, "limit": LIMIT}
        low = self._low()
        bad = {x.trace_id: x for x in labels if x.verdict == "bad"}
        # One after the other: nobody waits for them, and whoever opens a page needs the readers and the memory.
        checks = await self.columns.named("signals_checks", project, **span, **low)
        scores = await self.columns.named("signals_scores", project, **span, **low)
        errors = await self.columns.named("signals_errors", project, **span)
        broken = await self.columns.named("signals_broken", project, **span, ids=sorted(bad))
        steps = _Steps(errors.dicts())
        made = [steps.failure(r, "check") for r in checks.dicts()]
        made += [steps.failure(r, str(r["source"])) for r in scores.dicts()]
        for r in broken.dicts():
            if r["alone"] and r["error_class"]:
                made.append(
                    steps.failure({**r, "scorer": r["error_class"], "span_id": "", "message": ""}, "class")
                )
            if r["trace_id"] in bad:
                made.append(_labelled(r, bad[r["trace_id"]]))
        made.sort(key=lambda f: (-f.time_ns, f.trace_id, f.scorer))
        distinct = {(f.trace_id, f.scorer): f for f in reversed(made)}
        return sorted(distinct.values(), key=lambda f: (f.time_ns, f.trace_id, f.scorer))[-LIMIT:]


def _labelled(row: Mapping[str, Any], label: Label) -> Failure:
    return Failure(
        str(row["trace_id"]), int(row["at"]), "human", "human", label.comment or label.taxonomy or "",
        input=str(row["input"]), release=row["release"], taxonomy=label.taxonomy, severity=label.severity,
    )  # fmt: skip


def _about_calls(scorer: str) -> bool:
    return scorer in PRECEDENCE or scorer.startswith("tool")


class _Steps:
    """The failed spans of traces: which step a failure is about."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._spans: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._first: dict[str, Mapping[str, Any]] = {}
        for row in rows:
            self._spans[row["trace_id"], row["span_id"]] = row
            # Newest first: the last one seen is the trace's first failing step. A span that names a class says more
            # than the parents that only carry its status upwards.
            known = self._first.get(row["trace_id"])
            if known is None or row["error_class"] or not known["error_class"]:
                self._first[row["trace_id"]] = row

    def failure(self, row: Mapping[str, Any], source: str) -> Failure:
        trace_id, span_id = str(row["trace_id"]), str(row["span_id"])
        # Whatever else failed in the trace is no part of a failure that does not speak of it.
        speaks = source == "class" or (source == "check" and _about_calls(str(row["scorer"])))
        about = (
            self._spans.get((trace_id, span_id)) if span_id else self._first.get(trace_id) if speaks else None
        )
        said = str(row["message"] or "")
        if about is not None and about["message"] and source == "class":
            said = str(about["message"])
        tool = str(about["tool_name"]) if about is not None and about["tool_name"] else None
        name = str(about["name"]) if about is not None else ""
        return Failure(
            trace_id, int(row["at"]), str(row["scorer"]), source, said,
            error_class=row["error_class"] if speaks else about["error_class"] if about is not None else None,
            tool=tool, path=name, step=name, input=str(row["input"] or ""), release=row["release"] or None,
            weight=max(float(row["weight"]), 1.0),
        )  # fmt: skip


def merged(stored: Signal, made: Signal) -> Signal:
    """The run's numbers with what a person decided while it ran."""
    return msgspec.structs.replace(made, **{name: getattr(stored, name) for name in _CHANGED_BY_PEOPLE})
