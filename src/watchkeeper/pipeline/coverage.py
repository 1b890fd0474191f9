"""The coverage ledger read: what every scorer should have seen, and what came of it."""

from collections import Counter
from collections.abc import Mapping

from watchkeeper.store.columns import Columns
from watchkeeper.store.records.coverage import COUNTS


async def totals(columns: Columns, project: str, since_ns: int, until_ns: int) -> dict[str, Counter[str]]:
    """By scorer the sums of `COUNTS` over the windows that begin in [since, until), whatever its version."""
    found: dict[str, Counter[str]] = {}
    for row in await columns.read_coverage(project, since_ns, until_ns):
        found.setdefault(str(row["scorer"]), Counter()).update({name: int(row[name]) for name in COUNTS})
    return found


def missing(counts: Mapping[str, int]) -> int:
    """What was selected and has neither a score nor a failure."""
    return max(0, counts.get("selected", 0) - counts.get("scored", 0) - counts.get("failed", 0))
