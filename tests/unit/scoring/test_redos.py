"""Patterns that a user may write and that would stop a backtracking engine (O8): each is quick, or refused with its reason."""

import re
import time
from collections.abc import Callable

import pytest
import re2

from tests.unit.scoring.build import trace
from watchkeeper.alerting.routing import _matches
from watchkeeper.model.score import Subject, Verdict
from watchkeeper.pipeline.where import compile_condition
from watchkeeper.redaction.find import find
from watchkeeper.redaction.policy import CustomPattern, Policy, PolicySpec
from watchkeeper.scoring.registry import build

LONG = 100_000
# Of one thread's CPU; on a quiet machine each takes a few milliseconds, and a backtracking engine for ever.
SECONDS = 0.25
# Pattern and what is repeated in the text that hurts it; a "!" ends the text, so that nothing matches at the last moment.
EVIL = [
    (r"(a+)+$", "a"), (r"([a-zA-Z]+)*$", "a"), (r"(a|aa)+$", "a"), (r"(a|a?)+$", "a"), (r"(.*a){20}$", "a"),
    (r"^(a+)+$", "a"), (r"(a*)*$", "a"), (r"(a*)+b", "a"), (r"((a+)+)+$", "a"), (r"(x+x+)+y", "x"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a"), (r"(\w+\s?)*$", "word "), (r"^(\d+)*$", "1"), (r"(\d+|\d+)+$", "1"),
    (r"([^@]+)*@", "a"), (r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$", "a"),
    (r"(\s*\n)+$", " \n"), (r"\s+$", " "), (r"(.+)+\n", "a"), (r"(?:a|b|ab)*c", "ab"), (r"(0|1|01)+2", "01"),
    (r"<(.+)*>", "<a"), (r"(\".*?\",?)+$", "\"a\","), (r"^(.*?,){11}P", "1,"), (r"(a?){30}a{30}$", "a"),
    (r"(?i)(union.*select.*from)+", "union select "), (r"(\/\*.*\*\/)+$", "/*"), (r"^((ab)*)+$", "ab"),
    (r"(foo|foobar|foobarbaz)+$", "foobar"), (r"([0-9]+[.]?)+$", "1."), (r"(\S+)+ $", "x"), (r"(a|b|c|d|e)+f", "abcde"),
    (r"(?:(?:a+)b?)+c", "ab"), (r"(ha)+(ha)+!!", "ha"), (r"([a-z]+\.)+[a-z]+@", "a."), (r"(?:[^<]|<[^/])+<\/x>", "<a"),
    (r"^\(?(\d+\)?)+$", "1)"), (r"(\p{L}+)+\d", "ü"), (r"(.|\n)+z{9}", "y"), (r"(a{1,50}){1,8}b", "a"),
]  # fmt: skip
REFUSED = [
    r"(a+)+\1",
    r"(?=a+)b",
    r"(?<=a)b",
    r"(?<!a)+b",
    r"(?>a+)b",
    r"a{1,5000}",
    r"(",
    r"[z-a]",
    r"*a",
    r"(?P<n>a)(?P=n)",
]


def seconds_of(work: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    before = time.thread_time()
    work()
    return time.thread_time() - before


def test_there_are_forty_of_them() -> None:
    assert len({p for p, _ in EVIL}) >= 40


@pytest.mark.parametrize(("pattern", "piece"), EVIL)
def test_a_pattern_meant_to_hang_is_quick_wherever_a_user_may_write_one(pattern: str, piece: str) -> None:
    text = (piece * LONG)[: LONG - 1] + "!"
    given = Subject(trace("q", text))
    scorer = build({"name": "x", "type": "regex", "pattern": pattern})
    assert seconds_of(lambda: scorer.score([given])) < SECONDS  # type: ignore[attr-defined]
    if re2.search(pattern, "") is not None:
        with pytest.raises(ValueError, match="matches the empty text"):
            Policy(PolicySpec(patterns=(CustomPattern("x", pattern),)))
        return
    policy = Policy(PolicySpec(patterns=(CustomPattern("x", pattern),)))
    plain = Policy(PolicySpec())
    find(text, plain)  # what is compiled on first use is no cost of the pattern
    own = seconds_of(lambda: find(text, policy)) - seconds_of(lambda: find(text, plain))
    assert own < SECONDS


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_re2_cannot_do_is_refused_on_saving_with_the_reason(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern: pattern .* is not valid RE2: .{5}"):
        build({"name": "x", "type": "regex", "pattern": pattern})
    with pytest.raises(ValueError, match="x"):
        Policy(PolicySpec(patterns=(CustomPattern("x", pattern),)))


@pytest.mark.parametrize("like", ["%a%a%a%a%a%a%a%a%b", "%" * 50 + "b", "%_%_%_%_%_%_%b", "a%" * 30 + "b"])
def test_a_like_with_many_gaps_is_quick(like: str) -> None:
    given = trace("q", "a" * LONG)
    condition = compile_condition(f"output_text like '{like}'")
    assert seconds_of(lambda: condition(given)) < SECONDS
    assert not condition(given)


def test_a_silence_with_many_stars_is_quick_and_means_the_same() -> None:
    for wanted, value, fits in [
        ("~a*b", "a--b", True), ("~a*b", "ab", True), ("~a*b", "a", False), ("~ab*ba", "aba", False), ("~*", "", True),
        ("~*x*", "axb", True), ("~a*x*b", "a-x-b", True), ("~a*x*b", "a-b", False), ("~abc", "abc", True), ("a*", "ab", False),
        ("~**a", "ba", True), ("~a.c", "abc", False), ("~a*a*a", "aa", False),
    ]:  # fmt: skip
        assert _matches(wanted, value) is fits, (wanted, value)
    assert seconds_of(lambda: _matches("~" + "*a" * 40 + "*b", "a" * LONG)) < SECONDS


def test_the_control_a_backtracking_engine_needs_long_for_thirty_characters() -> None:
    assert seconds_of(lambda: re.search(r"(a+)+$", "a" * 22 + "!")) > 20 * seconds_of(
        lambda: re.search(r"(a+)+$", "a" * 14 + "!")
    )


def test_an_ordinary_pattern_still_finds_what_it_should() -> None:
    scorer = build({"name": "x", "type": "regex", "pattern": r"\bORD-\d{6}\b"})
    (found,) = scorer.score([Subject(trace("q", "it is ORD-123456 then"))])  # type: ignore[attr-defined]
    assert isinstance(found, Verdict) and found.passed
    condition = compile_condition("output_text like '%ORD-______%' and output_text ilike 'IT is%'")
    assert condition(trace("q", "it is ORD-123456 then"))
