"""What a signal is called on its page."""

from typing import Any

import pytest

from watchkeeper.web.pages.signals import distinct, headed


def signal(**given: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "kind": "failure", "scorer": "has_steps", "source": "check", "error_class": None, "tool": None,
        "title": "(?m)^<n>[.)] does not occur", "name": "(?m)^<n>[.)] does not occur",
    }  # fmt: skip
    return {**whole, **given}


@pytest.mark.parametrize(
    ("given", "heading", "detail"),
    [
        ({}, "has_steps", "(?m)^…[.)] does not occur"),
        ({"name": "no_resolution_steps"}, "no resolution steps", "has_steps"),
        ({"scorer": "tool_error", "error_class": "tool_error", "tool": "lookup_plan", "title": "timed out", "name": "timed out"},
         "tool_error, lookup_plan", "timed out"),
        ({"scorer": "server_error", "source": "class", "error_class": "server_error", "title": "server_error", "name": "server_error"},
         "server error", ""),
        ({"source": "judge", "scorer": "helpful", "title": "answers another question", "name": "answers another question"},
         "answers another question", "helpful"),
        ({"source": "human", "scorer": "human", "title": None, "name": "human"},
         "called bad in review", "without a name for what is wrong"),
        ({"source": "human", "scorer": "human", "title": "no steps", "name": "no_steps"}, "no steps", "found in review"),
        ({"kind": "topic", "title": "how to get a refund", "name": "how to get a refund"}, "how to get a refund", "has_steps"),
    ],
)  # fmt: skip
def test_a_rule_is_called_by_its_name_and_words_of_people_stand_alone(
    given: dict[str, Any], heading: str, detail: str
) -> None:
    found = headed(signal(**given))
    assert (found["heading"], found["detail"]) == (heading, detail)


def test_a_check_and_the_error_class_of_the_same_traces_are_one_line() -> None:
    seen = {"n": 142, "n_before": 120, "first_seen": 1, "last_seen": 9, "example": "aa"}
    found = distinct(
        [
            {"family": "class", "name": "server_error", **seen, "n": 8},
            {"family": "check", "name": "server_error", **seen, "n": 9},
            {"family": "class", "name": "invalid_output", **seen},
            {"family": "check", "name": "has_steps", **seen},
            {"family": "class", "name": "timeout", **seen, "example": "bb"},
        ]
    )
    assert [(f["name"], f["n"], f["also"]) for f in found] == [
        ("has_steps", 142, ["invalid_output"]), ("timeout", 142, []), ("server_error", 9, []),
    ]  # fmt: skip
