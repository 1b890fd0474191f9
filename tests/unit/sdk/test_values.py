"""Any object becomes bounded, valid text."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from watchkeeper.sdk.messages import to_messages
from watchkeeper.sdk.values import clip, json_of, message_of, plain, text_of, valid


class Bad:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Worse(dict[str, Any]):
    def items(self) -> Any:
        raise OSError("gone")


class Loud(str):
    def __str__(self) -> str:
        raise ValueError("never")

    def __getitem__(self, key: Any) -> str:
        raise ValueError("never")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    other: Any = None


def test_it_reads_the_usual_types() -> None:
    when = datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.UTC)
    id = uuid.UUID(int=1)
    given = {
        "a": (1, 2.5, None, True),
        "b": {3},
        "c": Colour.RED,
        "d": when,
        "e": id,
        "f": decimal.Decimal("1.10"),
    }
    assert json.loads(json_of(given)) == {
        "a": [1, 2.5, None, True],
        "b": [3],
        "c": "red",
        "d": "2024-01-02T03:04:00+00:00",
        "e": str(id),
        "f": "1.10",
    }
    assert plain(Point(1, Point(2))) == {"x": 1, "other": {"x": 2, "other": None}}
    assert text_of("as it is") == "as it is"
    assert plain(ValueError("x")) == "ValueError: x"


def test_it_makes_json_of_what_json_cannot_hold() -> None:
    odd = [float("nan"), float("inf"), 10**400, -(10**5000), b"\xff\x00", bytearray(b"ok"), object()]
    read = json.loads(json_of(odd), parse_constant=pytest.fail)
    assert read[:3] == ["nan", "inf", "1" + "0" * 400]
    assert read[3].startswith("<int of 16")
    assert read[4:6] == ["<bytes of 2 bytes>", "ok"]
    assert read[6].startswith("<object object")


def test_it_survives_objects_that_raise() -> None:
    assert "repr failed with RuntimeError" in text_of(Bad())
    assert json.loads(json_of([Bad(), Worse(a=1), Loud("text")]))[2] == "text"
    assert "OSError" in json_of(Worse(a=1))

    class Mute(Exception):
        def __str__(self) -> str:
            raise KeyError

    assert message_of(Mute()) == "<Mute: str failed>"


def test_it_stops_at_cycles_and_depth() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert json.loads(json_of(loop)) == [1, "<cycle: list>"]
    shared = {"a": 1}
    assert json.loads(json_of([shared, shared])) == [shared, shared]
    deep: Any = "end"
    for _ in range(5000):
        deep = [deep]
    assert "too deep" in json_of(deep)


def test_it_bounds_text_and_counts_what_is_missing() -> None:
    assert clip("abc", 3) == "abc"
    assert clip("a" * 50, 10) == "a" * 10 + "…[truncated 40 characters]"
    long = json.loads(json_of({"a": "x" * 3000, "b": "y" * 3000}, limit=4000))
    assert long["a"] == "x" * 3000
    assert long["b"].startswith("y" * 500) and long["b"].endswith(" characters]")
    assert len(text_of("é" * 50_000_000)) < 1_000_100
    many = json.loads(json_of(list(range(100_000))))
    assert "too many" in many[-1]
    assert len(many) < 30_000


@pytest.mark.parametrize(
    "value",
    [
        {"a": "x" * 9000, "b": 1},
        [{"role": "user", "content": "\n" * 3000}, {"role": "user", "content": '"' * 3000}],
        [{"role": "user", "content": "hello"}] * 500,
        list(range(9000)),
        {"role": "user", "content": "x" * 5000},
    ],
    ids=["text", "escapes", "many messages", "many numbers", "one message"],
)
@pytest.mark.parametrize("write", [json_of, lambda v, n: to_messages(v, "user", n)], ids=["json", "messages"])
def test_what_is_cut_still_fits_and_is_json(value: object, write: Callable[[object, int], str]) -> None:
    text = write(value, 4000)
    assert 2000 < len(text) <= 4000
    assert "truncated" in json.dumps(json.loads(text), ensure_ascii=False)


def test_what_stands_after_a_text_that_was_cut_keeps_its_name() -> None:
    found = json.loads(json_of({"a": "x" * 9000, "b": 1, "c": "z"}, 4000))
    assert found["b"] == 1 and "truncated" in found["c"]


def test_it_replaces_lone_surrogates_only() -> None:
    assert valid("a\ud800b") == "a�b"
    assert valid("grüße 👍") == "grüße 👍"
    assert valid("\ud83d\udc4d") == "👍"


def test_it_shows_arrays_by_shape_when_they_are_long() -> None:
    numpy = pytest.importorskip("numpy")
    assert plain(numpy.array([1, 2])) == [1, 2]
    assert plain(numpy.float32(0.5)) == 0.5
    assert plain(numpy.zeros((30, 40))) == "<ndarray shape=(30, 40) dtype=float64>"
