"""The collector under a steady load."""

import gc
import weakref

from watchkeeper.pipeline.calm import collect_young


class Knot:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_cycles_are_freed_without_waiting_for_the_collector() -> None:
    gc.disable()
    try:
        left = weakref.ref(Knot())
        assert left() is not None, "nothing but the collector frees it"
        collect_young()
        assert left() is None
    finally:
        gc.enable()
