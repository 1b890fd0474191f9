from tests.unit.web.test_conversation import span, trace
from watchkeeper.model.span import LLM, ErrorInfo, Tool
from watchkeeper.web.steps import PAGE, Step, listing, narrowed, tree


def agent() -> list[Step]:
    """A root with 1,000 tools below a second span, the last of which fails, and one model call at the end."""
    tools = [span(10 + i, 2, i, i + 1, kind="tool", tool=Tool(name=f"lookup_{i}")) for i in range(1_000)]
    tools[-1].error = ErrorInfo("tool_error", "boom")
    call = span(3, 1, 1_000, 1_100, kind="llm", llm=LLM(request_model="gpt-4o", ttft_ms=55.0))
    return tree(trace(span(1, None, 0, 1_100), span(2, 1, 0, 1_000), *tools, call))


def test_it_pages_a_large_tree_and_keeps_the_rows_above_in_sight() -> None:
    steps = agent()
    first = listing(steps)
    assert (first.first, first.last, first.found, first.earlier, first.later) == (1, PAGE, 1_003, None, PAGE)
    assert first.orienting == frozenset()
    second = listing(steps, start=PAGE)
    assert (second.first, second.last, second.earlier, second.later) == (PAGE + 1, 2 * PAGE, 0, 2 * PAGE)
    assert [s.span.name for s in second.rows[:3]] == ["step 1", "step 2", "step 408"]
    assert second.orienting == {f"{1:016x}", f"{2:016x}"}


def test_a_long_chain_does_not_fill_the_page_with_the_rows_above() -> None:
    chain = [span(i, i - 1 if i else None) for i in range(5_000)]
    rows = listing(tree(trace(*chain)), start=4_000).rows
    assert (len(rows), rows[0].depth) == (PAGE + 3, 3_997)


def test_it_opens_the_page_that_holds_a_span() -> None:
    steps = agent()
    assert listing(steps, at=f"{3:016x}").rows[-1].span.name == "step 3"
    assert listing(steps, at="nonsense").first == 1
    assert listing(steps, start=99_999).last == 1_003


def test_it_narrows_to_what_failed_to_a_kind_and_to_words() -> None:
    steps = agent()
    failed = listing(steps, show="failed")
    assert [s.span.name for s in failed.rows] == ["step 1", "step 2", "step 1009"]
    assert (failed.found, failed.first, failed.last, failed.later) == (1, 1, 1, None)
    assert len(narrowed(steps, "tool")) == 1_000
    assert [steps[i].span.name for i in narrowed(steps, "", "GPT-4o")] == ["step 3"]
    assert [steps[i].span.name for i in narrowed(steps, "", "boom")] == ["step 1009"]
    assert [steps[i].span.name for i in narrowed(steps, "tool", "lookup_77 ")] == ["step 87"] + [
        f"step {780 + i}" for i in range(10)
    ]
    nothing = listing(steps, find="no such words")
    assert (nothing.rows, nothing.first, nothing.last, nothing.found) == ([], 0, 0, 0)
    assert len(narrowed(steps, "nonsense")) == len(steps)


def test_it_marks_when_the_first_token_came() -> None:
    call = agent()[-1]
    assert call.first_x is not None
    assert round((call.first_x - call.x) / call.width, 2) == 0.55
    assert agent()[0].first_x is None
