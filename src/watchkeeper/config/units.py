"""Quantities as people write them: `15m`, `5%`, `20 USD/day`, `20 MiB`."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, GetPydanticSchema, WithJsonSchema
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, core_schema

from watchkeeper.model.times import DAY, HOUR, MINUTE, SECOND, WEEK

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ns|us|µs|ms|s|m|h|d|w)\Z")
_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)?\Z")
_BYTES = {
    None: 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}  # fmt: skip
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%\Z")
_MONEY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(USD)(?:\s*/\s*(hour|day|month))?\Z")


def duration_ns(value: Any) -> int:
    """`15m`, `1.5h`, `3000ms`, `7d` in nanoseconds. Raises `ValueError` saying what is allowed."""
    found = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if found is None or len(str(value)) > 30:
        raise ValueError("write a duration as a number and a unit: 500ms, 30s, 15m, 1h, 7d, 2w")
    return round(float(found[1]) * _NS[found[2]])


def duration_text(ns: int) -> str:
    """The shortest whole-number form of a duration: 900 s is `15m`."""
    for unit in ("w", "d", "h", "m", "s", "ms", "us"):
        if ns and ns % _NS[unit] == 0:
            return f"{ns // _NS[unit]}{unit}"
    return f"{ns}ns"


def size_bytes(value: Any) -> int:
    """`20 MiB`, `64KB` or a whole number of bytes. Raises `ValueError`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.match(value.strip()) if isinstance(value, str) and len(value) < 30 else None
    if found is None:
        raise ValueError("write a size as a number and a unit: 512 KiB, 20 MiB, 1 GiB")
    return int(float(found[1]) * _BYTES[found[2]])


def fraction(value: Any) -> float:
    """`5%` or `0.05` as a number from 0 to 1. Raises `ValueError`."""
    number: float | None = None
    if isinstance(value, str) and len(value) < 30 and (found := _PERCENT.match(value.strip())):
        number = float(found[1]) / 100
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    if number is None or not 0 <= number <= 1:
        raise ValueError("write a share as a percentage from 0% to 100% or a number from 0 to 1")
    return number


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Money:
    """An amount in US dollars, per `hour`, `day` or `month` when it is a rate."""

    amount: float
    per: str | None = None

    @property
    def per_day(self) -> float:
        """The rate in dollars a day (a month is 30 days); the amount itself when it is not a rate."""
        return self.amount * {"hour": 24.0, "month": 1 / 30}.get(self.per or "", 1.0)


def money(value: Any) -> Money:
    """`20 USD/day`, `0.05 USD`. Raises `ValueError`."""
    if isinstance(value, Money):
        return value
    found = _MONEY.match(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if found is None:
        raise ValueError("write an amount as 0.05 USD, or as a rate: 20 USD/day (hour, day or month)")
    return Money(float(found[1]), found[3])


def _told(parse: Any) -> Any:
    def checked(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{said}", {"said": str(error)}) from None

    return checked


Duration = Annotated[
    int,
    BeforeValidator(_told(duration_ns)),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ns|us|ms|s|m|h|d|w)$", "examples": ["15m"]}
    ),
]
Size = Annotated[
    int,
    BeforeValidator(_told(size_bytes)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|KB|MB|GB|KiB|MiB|GiB)?$"},
            ],
            "examples": ["20 MiB"],
        }
    ),
]
Share = Annotated[
    float,
    BeforeValidator(_told(fraction)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$"},
            ],
            "examples": ["5%"],
        }
    ),
]
Amount = Annotated[
    Money,
    GetPydanticSchema(lambda _source, _handler: core_schema.no_info_plain_validator_function(_told(money))),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)? ?USD( ?/ ?(hour|day|month))?$",
            "examples": ["20 USD/day"],
        }
    ),
]


class Secret:
    """A value that is never printed: `repr` and `str` show only that it is there."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.origin})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,100})\}\Z")


def env_name(value: str) -> str | None:
    """The variable named by a value of the form `${NAME}`, else None."""
    found = _ENV.match(value)
    return found[1] if found else None


def _secret(value: Any, info: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise PydanticCustomError(
            "secret", "{said}", {"said": "write ${NAME} to read it from the environment"}
        )
    name = env_name(value)
    if name is None:
        return Secret(value, "written in the file")
    context = info.context or {}
    found = context.get("env", {}).get(name)
    if found:
        return Secret(found, f"${{{name}}}")
    if context.get("allow_missing_env"):
        return Secret("", f"${{{name}}} (not set)")
    raise PydanticCustomError("secret", "the environment variable {name} is not set or empty", {"name": name})


SecretText = Annotated[
    Secret,
    GetPydanticSchema(lambda _source, _handler: core_schema.with_info_plain_validator_function(_secret)),
    WithJsonSchema({"type": "string", "minLength": 1, "examples": ["${NAME}"]}),
]
