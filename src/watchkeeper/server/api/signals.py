"""Failure signals: what goes wrong again and again, who has it, and whether it came back after its fix."""

from typing import Any, Literal

import msgspec
from pydantic import Field

from watchkeeper.model.review import Label
from watchkeeper.model.signal import Signal
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.signals import WINDOW_DAYS
from watchkeeper.reviewing.signals import decided
from watchkeeper.server.answers import iso
from watchkeeper.server.api.managed import managed_json
from watchkeeper.server.api.shapes import Body, Query, Short
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.stats.intervals import wilson
from watchkeeper.store.records import audit, managed, reviews
from watchkeeper.store.records import signals as store

MOST_COUNTED = 2_000
"""Of a signal with more traces the newest so many are counted in the cohorts, beside the traffic since the first of them."""
RELEASES_NS = 90 * DAY
_WORSE = {"low": 1, "medium": 2, "high": 3, "critical": 4}
_INTERNAL = ("mean", "fingerprints", "severity_by_person", "owner_by_person", "project", "traces", "state")


class Wanted(Query):
    """Which signals; `open` is everything but fixed and ignored. `kind` topic groups what is asked, unanswered what is asked
    and not answered."""

    state: Literal["new", "confirmed", "fixed", "regressed", "ignored", "open", "all"] = "all"
    kind: Literal["failure", "topic", "unanswered"] = "failure"


class Members(Query):
    """Which of a signal's failures."""

    limit: int = Field(200, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


class Changed(Body):
    """What a person decides. `release` is the one that holds the fix, with state `fixed` only; the newest release seen when
    not given. An empty name or owner takes it back."""

    state: Literal["new", "confirmed", "fixed", "ignored"] | None = None
    release: Short | None = None
    name: str | None = Field(None, max_length=255)
    owner: str | None = Field(None, max_length=255)
    severity: Literal["low", "medium", "high", "critical"] | None = None


def signal_json(signal: Signal, content: bool) -> dict[str, Any]:
    """One signal. Its title comes from a scorer's reason or a person's words, so that it follows the rule of content."""
    shown = {k: v for k, v in msgspec.to_builtins(signal).items() if k not in _INTERNAL}
    title = signal.title if content or signal.source in ("check", "class") else None
    return {
        **shown,
        "name": signal.name or title or signal.scorer,
        "title": title,
        "count": signal.traces,
        "status": signal.state,
        "first_seen": iso(signal.first_ns),
        "last_seen": iso(signal.last_ns),
        "fixed": iso(signal.fixed_ns),
        "regressed": iso(signal.regressed_ns),
    }


def named_by_people(labels: list[Label]) -> list[dict[str, Any]]:
    """What labels name and no run has grouped yet, in the shape of a signal as far as it is known."""
    groups: dict[str, list[Label]] = {}
    for given in labels:
        if given.verdict == "bad" and given.taxonomy:
            groups.setdefault(given.taxonomy, []).append(given)
    made: list[dict[str, Any]] = []
    for name, group in groups.items():
        times = [g.time_ns for g in group]
        worst = max(group, key=lambda g: (_WORSE.get(g.severity or "", 0), g.time_ns))
        signal = Signal(
            "", worst.project, name, "human", "human", min(times), max(times), "confirmed", name,
            severity=worst.severity or "medium", representative=worst.trace_id,
            traces=len({g.trace_id for g in group}),
        )  # fmt: skip
        made.append({**signal_json(signal, True), "id": None})
    return sorted(made, key=lambda s: (-s["count"], s["name"]))


async def listed(call: Call, kind: str = "failure") -> list[dict[str, Any]]:
    """The project's signals of a kind, those that need somebody first, then the commonest."""
    found, labels = await call.services.records.read(
        lambda c: (
            store.find(c, call.project, kind=kind),
            reviews.labels_of(c, call.project) if kind == "failure" else [],
        )
    )
    shown = [signal_json(s, call.sees_content) for s in found]
    known = {str(s["name"]).casefold() for s in shown}
    shown += [s for s in named_by_people(labels) if str(s["name"]).casefold() not in known]
    order = {"regressed": 0, "confirmed": 1, "new": 2, "fixed": 3, "ignored": 4}
    return sorted(shown, key=lambda s: (order[s["status"]], -s["count"], s["name"]))


@route("GET", "/api/signals", permission="viewer", query=Wanted)
async def signals(call: Call) -> list[dict[str, Any]]:
    """Failures grouped into signals: how common, growing or not, whose, and in which state."""
    state = call.query.state
    found = await listed(call, call.query.kind)
    if state == "all":
        return found
    hidden = ("fixed", "ignored")
    return [s for s in found if (s["status"] not in hidden if state == "open" else s["status"] == state)]


def _id(call: Call) -> str:
    return str(call.request.path_params["signal_id"])


def _none(call: Call) -> HttpError:
    return HttpError(404, f"there is no signal {_id(call)[:80]!r}", "GET /api/signals lists them")


async def detail(call: Call, limit: int, offset: int) -> dict[str, Any]:
    """Everything about one signal: its numbers, a page of its failures, where it happens, what was done to it and what was made
    of it. Raises `HttpError` 404."""
    project, signal_id = call.project, _id(call)
    signal, members, newest, total, deeds, entries = await call.services.records.read(
        lambda c: (
            store.get(c, project, signal_id),
            store.members(c, project, signal_id, limit, offset),
            store.newest(c, project, signal_id, MOST_COUNTED),
            store.count(c, project, signal_id),
            audit.of_target(c, project, signal_id),
            managed.find(c, project, signal_id=signal_id, retired=True),
        )
    )
    if signal is None:
        raise _none(call)
    since = call.services.clock() - WINDOW_DAYS * DAY
    if len(newest) == MOST_COUNTED:
        since = max(since, newest[-1][1])
    cohorts = await _cohorts(call, [trace_id for trace_id, _ in newest], since)
    lines = [
        {"trace_id": m.trace_id, "scorer": m.scorer, "time": iso(m.time_ns), "release": m.release, "weight": m.weight}
        for m in members
    ]  # fmt: skip
    return {
        **signal_json(signal, call.sees_content),
        "kind": signal.kind,
        "failures": lines,
        "n_failures": total,
        "cohorts_since": iso(since),
        "overall": next((c for c in cohorts if not c["dimension"]), None),
        "cohorts": [c for c in cohorts if c["dimension"]],
        "history": [
            {"time": iso(d["time_ns"]), "by": d["actor"], "action": d["action"], "detail": d["detail"]}
            for d in deeds
        ],
        "managed": [managed_json(e) for e in entries],
    }


async def _cohorts(call: Call, trace_ids: list[str], since: int) -> list[dict[str, Any]]:
    """How common the signal is in all traffic, as the dimension "", and in each cohort it occurs in, with a 95 % interval, the most
    affected first."""
    if not trace_ids:
        return []
    found = await call.services.columns.named(
        "signals_cohorts", call.project, since=since, until=call.services.clock() + 1, ids=trace_ids
    )
    made: list[dict[str, Any]] = []
    for row in found.dicts():
        k, n = int(row["k"]), int(row["n"])
        low, high = wilson(k, n)
        share = {"value": k / n if n else None, "low": low, "high": high}
        made.append({"dimension": row["dimension"], "value": row["value"], "k": k, "n": n, "share": share})
    return sorted(made, key=lambda r: (r["dimension"], -r["share"]["low"]))


@route("GET", "/api/signals/{signal_id}", permission="viewer", query=Members)
async def one_signal(call: Call) -> dict[str, Any]:
    """One signal with a page of its failures, the cohorts it occurs in, its history and what was made of it."""
    return await detail(call, int(call.query.limit), int(call.query.offset))


@route("POST", "/api/signals/{signal_id}", permission="reviewer", body=Changed)
async def change(call: Call) -> dict[str, Any]:
    """Say what a signal is: its state, name, owner or severity. A fixed one that returns becomes regressed by itself."""
    return signal_json(await decide(call, call.body), call.sees_content)


async def decide(call: Call, given: Changed) -> Signal:
    """Store what a person decided about the signal of this address, with who and when. Raises `HttpError`."""
    if given.release is not None and given.state != "fixed":
        raise HttpError(400, "release says what holds the fix", "send it with state: fixed")
    now, wall = call.services.clock(), call.services.wall_clock()
    release = given.release
    if given.state == "fixed" and release is None:
        release = await _newest_release(call, now)

    def work(conn: Any) -> Signal | None:
        found = store.get(conn, call.project, _id(call))
        if found is None:
            return None
        made = decided(
            found, now, state=given.state, release=release, name=given.name, owner=given.owner, severity=given.severity
        )  # fmt: skip
        store.put(conn, made)
        detail = given.model_dump(exclude_none=True) | ({"release": release} if release else {})
        audit.record(
            conn, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action="signal.change", target=made.id, detail={**detail, "was": found.state},
        )  # fmt: skip
        return made

    made = await call.services.records.write(work)
    if made is None:
        raise _none(call)
    return made


async def _newest_release(call: Call, now: int) -> str | None:
    found = await call.services.columns.named(
        "signals_traffic", call.project, since=now - RELEASES_NS, until=now + 1, recent=now
    )
    seen = [(int(r["first_seen"]), str(r["version"])) for r in found.dicts() if r["version"]]
    return max(seen)[1] if seen else None
