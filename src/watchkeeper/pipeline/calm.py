"""The collector of a process that holds hundreds of thousands of records."""

import gc


def calm_gc() -> None:
    """Keep the collector from walking everything alive: what exists now is frozen, and young generations are larger.

    Our records are `gc=False` structs, so few cycles arise; at the default thresholds a collector run per 2,000
    allocations halves the ingest rate with 200,000 objects alive. Call once, when the server has started.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 25, 50)


def collect_young() -> None:
    """Free the cycles that arose lately, in some milliseconds. The collector comes by itself after so many objects that few arise in
    minutes of a steady load, and what cycles hold until then, mostly statements of the records, is tens of megabytes."""
    gc.collect(0)
