"""Graded examples for a judge's prompt, from people's labels and never from a calibration set."""

from typing import Any

from sqlalchemy.engine import Connection

from watchkeeper.model.review import Label
from watchkeeper.scoring.calibration import majority
from watchkeeper.scoring.classifiers.trained import hash_of
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import reviews, trained
from watchkeeper.store.records.engine import Records

LONGEST = 1200


def _reason(given: list[Label]) -> str | None:
    """What a reviewer said for it, None when nobody said anything."""
    said = next((x.comment for x in reversed(given) if x.comment), None)
    return said or next((x.taxonomy for x in reversed(given) if x.taxonomy), None)


async def examples(
    columns: Columns, records: Records, project: str, n: int, low: float = 0.0, high: float = 10.0
) -> list[dict[str, Any]]:
    """Up to `n` examples as the key `examples` of a judge takes them, good and bad in turn, those with a reason first and then by
    hash, so that the same labels give the same examples. A trace drawn for any calibration is left out: a judge that was
    shown its test would pass it."""

    def read(conn: Connection) -> tuple[list[Label], frozenset[str]]:
        return reviews.labels_of(conn, project), trained.calibration_traces(conn, project)

    labels, apart = await records.read(read)
    by_trace: dict[str, list[Label]] = {}
    for x in labels:
        if x.verdict in ("good", "bad") and x.trace_id not in apart:
            by_trace.setdefault(x.trace_id, []).append(x)
    settled, _ = majority([(x.trace_id, x.author, x.verdict) for g in by_trace.values() for x in g])
    order = sorted(settled, key=lambda i: (_reason(by_trace[i]) is None, hash_of(i), i))
    sides = [[i for i in order if settled[i] is want][: 2 * n] for want in (True, False)]
    table = await columns.named("train_texts", project, ids=[i for side in sides for i in side])
    texts = {str(r["trace_id"]): r for r in table.dicts()}
    kept = [[i for i in side if i in texts] for side in sides]
    made: list[dict[str, Any]] = []
    for at in range(n):
        for side in kept:
            if at >= len(side) or len(made) >= n:
                continue
            i = side[at]
            good = settled[i]
            said = _reason(by_trace[i]) or ("people called it good" if good else "people called it bad")
            made.append(
                {
                    "input": str(texts[i]["input"])[:LONGEST], "output": str(texts[i]["output"])[:LONGEST],
                    "score": high if good else low, "reasoning": said[:LONGEST],
                }
            )  # fmt: skip
    return made
