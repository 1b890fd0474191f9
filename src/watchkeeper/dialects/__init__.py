"""Every client's spans and logs to ours. One file per dialect; the table is in `normalise.py`."""

from watchkeeper.dialects.agents import is_agent_event, spans_from_logs, trace_id_of
from watchkeeper.dialects.assemble import assemble, derive, totals
from watchkeeper.dialects.context import Aliases
from watchkeeper.dialects.normalise import TABLE, normalise
from watchkeeper.dialects.pricing import price

__all__ = [
    "TABLE",
    "Aliases",
    "assemble",
    "derive",
    "is_agent_event",
    "normalise",
    "price",
    "spans_from_logs",
    "totals",
    "trace_id_of",
]
