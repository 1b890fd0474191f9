"""Texts to sums: a map of a field's texts is made once from the baseline, then every hour is placed on it.

No text and no vector of a trace is stored: an hour of a cohort is 277 sums. The map itself keeps at most 750 vectors of the
baseline, by which a text is told from what was never seen.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.alerting.monitor import DIMENSIONS, Monitor, tick_of
from watchkeeper.detection.cloud import FEATURES, Change, Geometry, make_geometry, project
from watchkeeper.model.series import Cohort, Insufficient, cohort_of, cohort_text
from watchkeeper.model.sketch import field_of_metric
from watchkeeper.model.times import HOUR, MINUTE, SECOND
from watchkeeper.pipeline.watching.normals import BASELINE_NS, LEAST_NS
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records

GRACE_NS = 5 * MINUTE
# Texts an hour of the baseline from which the map and the normal are made, and of every hour after it.
BASELINE_EACH, EACH, MAP_TEXTS = 20, 500, 1500
AT_ONCE = 48
RETRY_NS = 6 * HOUR
# Unit vectors (n × V) of texts; a text without words is a row of zeros.
Embed = Callable[[Sequence[str]], NDArray[Any]]


def fields_of(monitors: Sequence[Monitor], name: str) -> dict[str, tuple[Monitor, ...]]:
    """The fields whose texts a project's monitors watch, and the monitors."""
    found: dict[str, tuple[Monitor, ...]] = {}
    for m in monitors:
        for metric in m.moving:
            field = field_of_metric(metric)
            if field is not None and m.project == name:
                found[field] = (*found.get(field, ()), m)
    return found


def _packed(x: NDArray[Any]) -> dict[str, Any]:
    return {
        "shape": list(x.shape),
        "f16": base64.b64encode(np.asarray(x, dtype="<f2").tobytes()).decode(),
    }


def _unpacked(document: Mapping[str, Any]) -> NDArray[np.float64]:
    raw = np.frombuffer(base64.b64decode(document["f16"]), dtype="<f2")
    return raw.reshape(document["shape"]).astype(np.float64)


def pack(g: Geometry) -> dict[str, Any]:
    """A map as JSON."""
    return {
        "frequencies": _packed(g.frequencies),
        "centres": _packed(g.centres),
        "landmarks": _packed(g.landmarks),
        "radius": g.radius,
        "moments": list(g.moments),
    }


def unpack(document: Mapping[str, Any]) -> Geometry:
    """The inverse of `pack`, to the precision that is stored."""
    a, b, c, d = document["moments"]
    frequencies, centres, landmarks = (
        _unpacked(document[k]) for k in ("frequencies", "centres", "landmarks")
    )
    return Geometry(frequencies, centres, landmarks, float(document["radius"]), (a, b, c, d))


class Sketcher:
    """Keeps the sums of every project's texts up to date. `embed` is called in a thread; `embedding` names it with its
    version: another one makes another map. `monitors` says what is watched now."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        monitors: Callable[[], Sequence[Monitor]],
        embed: Embed | None,
        embedding: str,
    ) -> None:
        self.columns = columns
        self.records = records
        self.monitors = monitors
        self.embed = embed
        self.embedding = embedding
        self.counts: Counter[str] = Counter()
        self._maps: dict[tuple[str, str], tuple[str, Geometry]] = {}
        self._tried: dict[tuple[str, str], int] = {}

    async def run(self, name: str, now_ns: int) -> int:
        """Bring one project's sums up to `now_ns`; how many hours were placed."""
        if self.embed is None:
            return 0
        done = 0
        for field, rules in fields_of(self.monitors(), name).items():
            if await self._map(name, field) is None:
                await self._make(name, field, rules, now_ns)
            done += await self._place(name, field, rules, now_ns)
        return done

    async def _map(self, name: str, field: str) -> tuple[str, Geometry] | None:
        known = self._maps.get((name, field))
        if known is not None:
            return known
        stored = await self.records.read(lambda c: states.get(c, name, "map", field))
        if stored is None or stored.get("embedding") != self.embedding:
            return None
        self._maps[(name, field)] = (str(stored["version"]), unpack(stored))
        return self._maps[(name, field)]

    async def _make(self, name: str, field: str, rules: Sequence[Monitor], now_ns: int) -> None:
        """Make the map when there is a baseline, and place the baseline on it: one part of the texts makes the map, the
        other the normal, because a text is closest to itself."""
        if now_ns - self._tried.get((name, field), -RETRY_NS) < RETRY_NS:
            return
        self._tried[(name, field)] = now_ns
        span = (
            await self.columns.named("watch_span", name, seconds=tick_of(self.monitors()) // SECOND)
        ).dicts()
        if not span or not int(span[0]["n"]):
            return
        until = (now_ns - HOUR) // HOUR * HOUR
        since = max(int(span[0]["first"]) * SECOND // HOUR * HOUR, until - BASELINE_NS)
        if until - since < LEAST_NS:
            return
        rows = await self._texts(name, field, since, until, BASELINE_EACH)
        vectors = await self._vectors([str(r["text"]) for r in rows])
        lot = np.array([hash_of(str(r["trace_id"])) for r in rows])
        kept = np.linalg.norm(vectors, axis=1) > 0.5 if len(rows) else np.zeros(0, dtype=bool)
        first = np.flatnonzero(kept & (lot % 3 == 0))[:MAP_TEXTS]
        made = await asyncio.to_thread(make_geometry, vectors[first], 0) if len(first) else None
        if made is None or isinstance(made, Insufficient):
            self.counts["too_few_texts"] += 1
            return
        version = f"{self.embedding} map {until // HOUR}"
        document = {**pack(made), "version": version, "embedding": self.embedding}
        geometry = unpack(document)
        rest = kept & (lot % 3 != 0)
        await self._write(name, field, rules, version, geometry, rows, vectors, rest)
        await self.columns.write_sketches(
            [
                {
                    "project": name, "field": field, "cohort": "", "tick": since // SECOND, "seconds": 0,
                    "n": (until - since) // SECOND, "sums": list(made.moments), "version": version,
                }
            ]
        )  # fmt: skip
        # Last, because with it the map is in force: a crash before makes it again.
        await self.records.write(
            lambda c: states.put_all(c, name, "map", {field: document, f"{field} mark": until}, now_ns)
        )
        self._maps[(name, field)] = (version, geometry)
        self.counts["maps"] += 1

    async def _place(self, name: str, field: str, rules: Sequence[Monitor], now_ns: int) -> int:
        found = await self._map(name, field)
        if found is None:
            return 0
        mark = int(await self.records.read(lambda c: states.get(c, name, "map", f"{field} mark")) or 0)
        closed = (now_ns - GRACE_NS) // HOUR * HOUR
        hours = 0
        while mark < closed:
            until = min(closed, mark + AT_ONCE * HOUR)
            rows = await self._texts(name, field, mark, until, EACH)
            vectors = await self._vectors([str(r["text"]) for r in rows])
            kept = np.linalg.norm(vectors, axis=1) > 0.5 if len(rows) else np.zeros(0, dtype=bool)
            await self._write(name, field, rules, found[0], found[1], rows, vectors, kept)
            hours += (until - mark) // HOUR
            mark = until
            await self.records.write(lambda c, m=mark: states.put(c, name, "map", f"{field} mark", m, now_ns))
        self.counts["hours"] += hours
        return hours

    async def _texts(self, name: str, field: str, since: int, until: int, each: int) -> list[dict[str, Any]]:
        table = await self.columns.named(
            "sketch_texts", name, field=field, since=since, until=until, each=each
        )
        return table.dicts()

    async def _vectors(self, texts: Sequence[str]) -> NDArray[Any]:
        assert self.embed is not None
        self.counts["texts"] += len(texts)
        return await asyncio.to_thread(self.embed, texts)

    async def _write(
        self,
        name: str,
        field: str,
        rules: Sequence[Monitor],
        version: str,
        geometry: Geometry,
        rows: Sequence[Mapping[str, Any]],
        vectors: NDArray[Any],
        use: NDArray[np.bool_],
    ) -> None:
        index = np.flatnonzero(use)
        if not len(index):
            return
        placed = await asyncio.to_thread(project, geometry, vectors[index])
        members: dict[tuple[int, str], list[int]] = {}
        for at, i in enumerate(index.tolist()):
            for cohort in _cohorts_of(rows[i]["dims"], rules):
                members.setdefault((int(rows[i]["tick"]), cohort), []).append(at)
        await self.columns.write_sketches(
            [
                {
                    "project": name, "field": field, "cohort": cohort, "tick": tick, "seconds": HOUR // SECOND,
                    "n": len(mine), "sums": placed[mine].sum(axis=0).tolist(), "version": version,
                }
                for (tick, cohort), mine in members.items()
            ]
        )  # fmt: skip

    async def examples(
        self, name: str, field: str, cohort: Cohort, since: int, until: int, change: Change, limit: int = 5
    ) -> list[dict[str, Any]]:
        """Traces that show the change: of the texts since the onset those unlike the baseline, or in the cluster that rose,
        the furthest or the most typical first."""
        found = await self._map(name, field)
        if found is None or self.embed is None:
            return []
        rows = await self._texts(name, field, since, until, EACH)
        wanted = dict(cohort)
        rows = [r for r in rows if all(r["dims"][DIMENSIONS.index(k)] == v for k, v in wanted.items())][
            -2000:
        ]
        if not rows:
            return []
        vectors = await self._vectors([str(r["text"]) for r in rows])
        placed = await asyncio.to_thread(project, found[1], vectors)
        novel = change.p[2] <= min(change.p)
        inside = placed[:, -1] if novel else placed[:, FEATURES + change.cluster]
        near = vectors @ (found[1].landmarks.T if novel else found[1].centres[change.cluster][:, None])
        rank = -near.max(axis=1) if novel else near[:, 0]
        order = sorted(np.flatnonzero(inside > 0).tolist(), key=lambda i: -float(rank[i]))[:limit]
        other = "output_text" if field == "input" else "input_text"
        return [
            {
                "trace_id": rows[i]["trace_id"],
                "time_ns": rows[i]["time_ns"],
                "value": round(float(rank[i]), 3),
                f"{field}_text": str(rows[i]["text"])[:400],
                other: None,
                "error_class": None,
                "prompt_version": rows[i]["prompt_version"],
            }
            for i in order
        ]


def hash_of(trace_id: str) -> int:
    """A stable number of a trace id, whatever process asks."""
    return int.from_bytes(trace_id.encode()[-6:].rjust(6), "big") * 2654435761 % 2**32 >> 7


def _cohorts_of(dims: Sequence[str], rules: Sequence[Monitor]) -> set[str]:
    """The cohorts a trace belongs to among those that are watched, and all traffic."""
    found = {""}
    for m in rules:
        value = {d: dims[DIMENSIONS.index(d)] for d in (*(k for k, _ in m.where), *m.by)}
        if any(value[k] != v for k, v in m.where):
            continue
        found.add(cohort_text(m.where))
        if m.by:
            found.add(cohort_text(cohort_of(value)))
    return found
