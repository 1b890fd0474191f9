"""The conservation law and the memory of recent keys."""

import random

import pytest

from watchkeeper.pipeline.ledger import Ledger, Recent


def test_everything_received_is_settled_or_in_flight() -> None:
    ledger = Ledger()
    ledger.receive("a", "traces", 10)
    ledger.settle("a", "traces", "stored", 6)
    ledger.settle("a", "traces", "deduplicated", 1)
    ledger.settle("a", "traces", "dropped", 1, "redaction_failed")
    ledger.refuse("a", "logs", 3, "malformed")
    assert ledger.in_flight() == {("a", "traces"): 2, ("a", "logs"): 0}
    assert ledger.total("received") == 13
    assert ledger.total("refused", "a", "logs") == 3
    samples = {(n, tuple(sorted(labels.items()))): v for n, labels, v in ledger.samples()}
    assert samples[("watchkeeper_ingest_in_flight", (("project", "a"), ("signal", "traces")))] == 2


def test_an_outcome_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="stored, deduplicated, refused, dropped"):
        Ledger().settle("a", "traces", "lost", 1)


def test_recent_counts_what_a_set_would_count() -> None:
    dice, recent, truth = random.Random(3), Recent(10_000), set[tuple[str, int]]()
    for _ in range(200):
        keys = [("p", dice.randrange(3000)) for _ in range(dice.randrange(40))]
        again = len(keys) - len(set(keys) - truth)
        assert recent.add(keys) == again
        truth |= set(keys)
    assert recent.has([("p", n) for n in range(3000)]) == [("p", n) in truth for n in range(3000)]


def test_recent_forgets_the_oldest_first_and_stays_bounded() -> None:
    recent = Recent(100)
    for n in range(1000):
        recent.add([n])
    assert all(recent.has(list(range(900, 1000))))
    assert not any(recent.has(list(range(700))))
