"""The quick ways find what the plain ways find, at the same places."""

import re

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.redaction import papers, secrets, views, words

DISGUISED = st.lists(
    st.sampled_from(
        [
            *"ab1@. ",
            "\\n",
            '\\"',
            "\\u0041",
            "%40",
            "&#64;",
            "=40",
            "=\n",
            "%E6%97",
            "＠",
            "１",
            "\u200b",
            "ﬁ",
            "…",
            "é",
            "日",
        ]
    ),
    max_size=25,
).map("".join)
ASSIGNMENTS = st.lists(
    st.sampled_from(
        ["password", "Pass", "wd", "API key", "apikey", "secret", "_key", "token", "Bearer ", "bearer", "pwd", "passphrase",
         "ſecret", "İ", "K", " is ", ": ", "=", '"', "\\", "hunter2!x9", "Ab3dE6gH9kLm", " ", "\n", "credentials", "authorization"]
    ),
    max_size=14,
).map("".join)  # fmt: skip
PAPERS = st.lists(
    st.sampled_from(
        ["Passport", "s", " No", ". ", "driver's ", "licence", "DNI", "dni", " ", "C01X00T47", "123 456 782", "инн", "ИНН", "</td><td>",
         "Führerschein", "nummer", ": ", "é", "İ", "national ", "insurance", " number", " is ", "tax-id", "(3)", "A123456", "rodné číslo"]
    ),
    max_size=12,
).map("".join)  # fmt: skip
WORDS = st.lists(
    st.one_of(st.text("aB3+/_-", min_size=1, max_size=30), st.sampled_from([" ", "=", "==", ".", "é", "\n"])),
    max_size=14,
).map("".join)


@given(DISGUISED)
def test_every_character_of_a_view_leads_back_to_what_it_stands_for(text: str) -> None:
    for view, change in (
        (views.unescaped(text), views.ESCAPE),
        (views.mailed(text), views.MAILED),
        (views.folded(text), re.compile(r"[^\x00-\x7f]")),
    ):
        if view is None:
            continue
        for i, char in enumerate(view.text):
            start, end = view.back(i, i + 1)
            original = text[start:end]
            assert original == char or change.fullmatch(original), (view.text, i, original)
        whole = [view.back(i, i + 1) for i in range(len(view.text))]
        assert whole == sorted(whole)


@given(DISGUISED)
def test_the_quick_fold_is_the_text_of_the_view(text: str) -> None:
    view = views.folded(text)
    assert views.quickly_folded(text) == (text if view is None else view.text)


@given(ASSIGNMENTS)
def test_trying_only_where_a_name_begins_misses_no_assignment(text: str) -> None:
    plain = [m.span() for m in secrets._ASSIGNED.finditer(text)]
    assert [m.span() for m in views.tried(secrets._ASSIGNED, text, words.NAMED)] == plain


@given(PAPERS)
def test_trying_only_where_a_paper_is_named_misses_none(text: str) -> None:
    plain = [m.span() for m in papers.SAID.finditer(text)]
    assert [m.span() for m in views.tried(papers.SAID, text, words.PAPERS)] == plain


@given(WORDS)
def test_passing_over_short_words_misses_no_encoded_run(text: str) -> None:
    seen: list[str] = []
    match = views._NEXT_RUN.match(text)
    while match is not None:
        seen.append(match.group(1))
        match = views._NEXT_RUN.match(text, match.end())
    assert seen == re.findall(r"[A-Za-z0-9+/_-]{16,}={0,2}", text)
