from tests.unit.web.world import NOW, spans_of, turns
from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.score import Score
from watchkeeper.model.span import Trace
from watchkeeper.web.pages.compare import MOST_WORDS, aligned, differences, facts, scored


def trace(seed: int) -> Trace:
    number, _, turn, scenario = next(turns(1, seed))
    return assemble([normalise(raw) for raw in spans_of(turn, f"{seed:032x}", NOW, number, scenario)], [])


def joined(pieces: list[tuple[str, str]], *kinds: str) -> str:
    return "".join(text for kind, text in pieces if kind in kinds)


def test_the_pieces_of_a_difference_are_both_texts() -> None:
    a, b = "  the refund takes five days\n\nask us", "  the refund takes two days\n\nask us again"
    pieces = differences(a, b)
    assert joined(pieces, "same", "del") == a
    assert joined(pieces, "same", "ins") == b
    assert ("del", "five ") in pieces
    assert ("ins", "two ") in pieces


def test_long_texts_are_compared_by_lines() -> None:
    a = "\n".join(f"line {n} of the text" for n in range(MOST_WORDS // 4))
    b = a.replace("line 7 of", "line seven of")
    pieces = differences(a, b)
    assert ("del", "line 7 of the text\n") in pieces
    assert joined(pieces, "same", "ins") == b


def test_texts_that_have_nothing_in_common_are_not_marked() -> None:
    assert differences("one two three", "quite other words here") == []
    assert differences("", "") == []


def test_steps_are_paired_by_name_and_occurrence() -> None:
    a, b = trace(1), trace(2)
    pairs = aligned([*a.spans, a.spans[0]], b.spans)
    assert [p.name for p in pairs[: len(a.spans)]] == [s.name for s in a.spans]
    assert pairs[len(a.spans)].b is None
    assert all(p.a is None or p.b is None or p.a.name == p.b.name for p in pairs)
    assert sum(p.b is not None for p in pairs) == len(b.spans)
    assert all(p.same for p in aligned(a.spans, a.spans))


def test_what_differs_comes_first() -> None:
    found = facts(trace(1), trace(2))
    assert [f.same for f in found] == sorted(f.same for f in found)
    assert not [f for f in facts(trace(1), trace(1)) if not f.same]

    def score(scorer: str, value: float, at: int = 0, span: str = "") -> Score:
        return Score("p", "t", span, scorer, "1", "judge", NOW, at, value=value)

    both = scored(
        [score("calm", 1), score("kind", 2, 1), score("kind", 3, 0)], [score("calm", 1), score("kind", 4)]
    )
    assert [f.name for f in both] == ["kind", "calm"]
    assert both[0].a.value == 2
