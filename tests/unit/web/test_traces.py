import pytest

from watchkeeper.store import sandbox
from watchkeeper.web.pages.traces import FIELDS, cohort_conditions, condition, quoted, tidy, worst_first

KINDS = {"answer_relevance": "number", "Correctness [GEval]": "number", **FIELDS}
SCORERS = ["answer_relevance", "Correctness [GEval]"]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (("answer_relevance", "<", "5"), "answer_relevance < 5"),
        (("Correctness [GEval]", "<", "0.5"), "`Correctness [GEval]` < 0.5"),
        (("scenario", "=", "it's"), "scenario = 'it\\'s'"),
        (("error_class", "is known", ""), "error_class is not null"),
        (("ttft_ms", "is unknown", ""), "ttft_ms is null"),
        (("prompt_name", "contains", "50%_\\"), "prompt_name ilike '%50\\\\%\\\\_\\\\\\\\%'"),
    ],
)
def test_it_turns_the_filter_menu_into_conditions_the_store_accepts(
    given: tuple[str, str, str], made: str
) -> None:
    found = condition(*given, KINDS)
    assert found == made
    assert sandbox.compile_condition(found, SCORERS, "default")


@pytest.mark.parametrize(
    "given", [("nothing", "=", "1"), ("cost", "; drop", "1"), ("cost", ">", "much"), ("a b", "=", "1")]
)
def test_it_says_what_cannot_be_a_filter(given: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        condition(*given, KINDS)


def test_it_cannot_be_talked_out_of_its_quotes() -> None:
    hostile = "x' or 1=1 or ''='"
    assert quoted(hostile) == "'x\\' or 1=1 or \\'\\'=\\''"
    made = sandbox.compile_condition(condition("scenario", "=", hostile, KINDS), SCORERS, "default")
    assert " OR " not in made.replace(hostile.replace("'", "''"), "")


def test_it_turns_cohorts_into_conditions() -> None:
    made = cohort_conditions({"model": "gpt'", "scenario": "support"})
    assert made == ["has(models, 'gpt\\'')", "scenario = 'support'"]
    for one in made:
        assert sandbox.compile_condition(one, SCORERS, "default")


def test_the_score_a_list_is_sorted_by_is_seen_in_it() -> None:
    row = {"scores": {"a": 0.5, "b": 0.6, "c": 0.7, "tone": 1.0, "zest": 0.1}}
    assert [n for n, _ in tidy(row, True)["shown"]] == ["a", "b", "c"]
    assert [n for n, _ in tidy(row, True, "zest")["shown"]] == ["zest", "a", "b"]
    assert [n for n, _ in tidy(row, True, "tone")["shown"]] == ["tone", "a", "b"]


def test_the_worst_answers_by_a_score_are_its_highest_where_less_of_it_is_better() -> None:
    assert worst_first({"refusal", "answer_relevance"}) == [
        ("answer_relevance", "answer_relevance"),
        ("-refusal", "refusal"),
    ]
