import base64

from watchkeeper.model.span import (
    LLM,
    Context,
    Document,
    Message,
    Part,
    RawEvent,
    RawSpan,
    Retrieval,
    Span,
    Tool,
    Totals,
    Trace,
)
from watchkeeper.web import conversation
from watchkeeper.web.pages.trace import chosen
from watchkeeper.web.steps import tree

MS = 1_000_000


def span(number: int, parent: int | None = None, start: int = 0, end: int = 10, **more: object) -> Span:
    made = Span(
        "t", f"{number:016x}", f"{parent:016x}" if parent is not None else None, f"step {number}", "other",
        start * MS, end * MS, "ok", "gen_ai", Context(),
    )  # fmt: skip
    for name, value in more.items():
        setattr(made, name, value)
    return made


def trace(*spans: Span) -> Trace:
    return Trace(
        "t",
        list(spans),
        Context(),
        Totals(),
        min(s.start_ns for s in spans),
        max(s.end_ns for s in spans),
        True,
    )


def test_it_lays_spans_out_depth_first_with_bars_of_their_share() -> None:
    found = tree(trace(span(1, None, 0, 100), span(3, 1, 50, 100), span(2, 1, 0, 50), span(4, 2, 10, 20)))
    assert [(s.span.name, s.depth) for s in found] == [
        ("step 1", 0),
        ("step 3", 1),
        ("step 2", 1),
        ("step 4", 2),
    ]
    assert (found[1].x, found[1].width) == (500.0, 500.0)


def test_it_shows_orphans_self_parents_and_cycles_once() -> None:
    spans = [span(1, 99), span(2, 2), span(3, 4), span(4, 3)]
    found = tree(trace(*spans))
    assert sorted(s.span.span_id for s in found) == sorted(s.span_id for s in spans)


def test_it_survives_ten_thousand_nested_spans() -> None:
    found = tree(trace(*(span(i, i - 1 if i else None) for i in range(10_000))))
    assert len(found) == 10_000
    assert found[-1].depth == 9_999


def test_it_opens_on_the_last_model_call_or_what_was_asked_for() -> None:
    call = span(2, 1, kind="llm", llm=LLM())
    both = trace(span(1), call)
    assert chosen(both, None) is call
    assert chosen(both, f"{1:016x}") is both.spans[0]
    assert chosen(both, "nonsense") is call


def test_it_links_citations_to_the_documents_they_name() -> None:
    known = conversation.anchors([Document("kb-1"), Document("kb-2")])
    parts = conversation.cited("See [kb-2] and [1], not [kb-9].", known)
    assert [(p.text, p.href) for p in parts] == [
        ("See ", ""), ("[kb-2]", "#document-2"), (" and ", ""), ("[1]", "#document-1"), (", not [kb-9].", ""),
    ]  # fmt: skip


def test_it_folds_the_system_prompt_and_keeps_tools_inline() -> None:
    llm = LLM(
        system="You are kind.",
        input_messages=[
            Message("user", [Part("text", "hi")]),
            Message("assistant", [Part("tool_call", id="c1", name="find", arguments={"q": "x"})]),
            Message("tool", [Part("tool_result", id="c1", result="")]),
        ],
        output_messages=[
            Message("assistant", [Part("text", "hello [d1]"), Part("media", uri="https://evil/x.png")])
        ],
    )
    docs = span(1, kind="retrieval", retrieval=Retrieval(documents=[Document("d1", 0.5, "text")]))
    call = span(2, kind="llm", llm=llm)
    found = conversation.turns(call, trace(docs, call))
    assert [t.role for t in found] == ["system", "user", "assistant", "tool", "assistant"]
    assert found[0].fold
    assert found[2].pieces[0].body == '{"q": "x"}'
    assert found[4].output
    assert found[4].pieces[0].segments[1].href == "#document-1"
    assert found[4].pieces[1].type == "media"


def test_it_shows_input_and_output_of_a_step_that_is_no_model_call() -> None:
    step = span(1, input_text="in", output_text="out")
    assert [(t.role, t.pieces[0].body) for t in conversation.turns(step, trace(step))] == [
        ("user", "in"),
        ("assistant", "out"),
    ]
    tool = span(2, tool=Tool("find"))
    assert conversation.turns(tool, trace(tool)) == []


def test_it_writes_any_value_as_text() -> None:
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    assert conversation.readable("as is") == "as is"
    assert conversation.readable({"a": 1}) == '{"a": 1}'
    assert "\n" in conversation.readable({"key": "v" * 80})
    assert conversation.readable(deep) == "nested too deeply to show"


def test_it_shows_what_the_client_noted_during_a_span_and_its_last_stack_trace() -> None:
    made = span(1, None, 100, 400)
    exceptions = [
        RawEvent("exception", (150 + i) * MS, {"exception.stacktrace": f"at line {i}", "exception.type": "E"})
        for i in (1, 0)
    ]
    made.raw = RawSpan(
        "t", made.span_id, None, "step", "internal", made.start_ns, made.end_ns, "error", None, {}, exceptions, [], {}
    )  # fmt: skip
    assert [(e.name, e.after_ms) for e in conversation.events(made)] == [("exception", 50), ("exception", 51)]
    assert conversation.events(made)[0].attributes[0] == ("exception.stacktrace", "at line 0")
    assert conversation.stack(made) == "at line 0", "the one that was sent last"
    assert (conversation.events(span(2)), conversation.stack(span(2))) == ([], "")


def test_it_numbers_media_parts_and_says_which_are_pictures() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
    parts = [
        Part("text", text="look"),
        Part("media", uri="https://example.com/a.png", mime_type="image/png"),
        Part("media", raw={"type": "blob", "content": png}, mime_type="text/html"),
    ]
    asked = span(1, kind="llm", llm=LLM(input_messages=[Message("user", parts)], output_text="a cat"))
    pieces = conversation.turns(asked, trace(asked))[0].pieces
    assert [(p.type, p.title, p.place) for p in pieces] == [
        ("text", "", -1),
        ("media", "image/png", 0),
        ("picture", "image/png", 1),
    ]
    assert pieces[2].body == "embedded, 48 bytes"
