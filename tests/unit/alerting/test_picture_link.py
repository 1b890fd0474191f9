"""A chart's address opens one picture for a while and nothing else."""

import pytest

from watchkeeper.alerting.picture_link import read, token


def test_it_opens_until_it_is_over() -> None:
    made = token("key", "default", "a|1", 100)
    assert read("key", made, 100) == ("default", "a|1")
    assert read("key", made, 101) is None


def test_another_installation_s_address_is_nothing() -> None:
    assert read("other", token("key", "default", "a1", 100), 1) is None


@pytest.mark.parametrize(
    "given", ["", ".", "a.b", "é.ü", token("key", "p", "a", 9)[:-1], "x" + token("key", "p", "a", 9)]
)
def test_a_changed_address_is_nothing(given: str) -> None:
    assert read("key", given, 1) is None
