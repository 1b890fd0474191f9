"""Any Python object as bounded, valid text, whatever it is and however it misbehaves."""

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import PurePath
from typing import Any, Final, TypeAlias, cast

MAX_TEXT: Final = 1_000_000
#: Longest mark :func:`clip` appends; a text that carries one already is not cut again.
_MARK: Final = 40
_TRIES: Final = 5
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 24
MAX_REPR: Final = 2_000
MAX_ARRAY: Final = 256

#: JSON text of what :func:`plain` gives, without spaces; made once because making an encoder costs more than using it.
to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """``text`` cut to about ``limit`` characters, with a mark that says how many are missing."""
    if len(text) <= limit or (len(text) <= limit + _MARK and text.endswith(" characters]")):
        return text
    return f"{text[:limit]}…[truncated {len(text) - limit} characters]"


def valid(text: str) -> str:
    """``text`` without lone surrogates, which no UTF-8 encoder accepts: each becomes ``�``."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def describe(value: object) -> str:
    """``repr(value)``, or its class and why the repr failed."""
    try:
        return clip(_exact(repr(value)), MAX_REPR)
    except Exception as error:  # noqa: BLE001  a __repr__ is user code; the failure is the text we keep
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"


def message_of(error: BaseException) -> str:
    """``str(error)``, or its class when the exception cannot be printed."""
    try:
        return clip(_exact(str(error)), MAX_TEXT)
    except Exception:  # noqa: BLE001  an exception's __str__ is user code; the failure is the text we keep
        return f"<{type(error).__name__}: str failed>"


def text_of(value: object, limit: int = MAX_TEXT) -> str:
    """A string as it is, anything else as JSON; at most about ``limit`` characters."""
    if type(value) is str and len(value) <= limit:
        return value
    if isinstance(value, str):
        return clip(_exact(value), limit)
    return json_of(value, limit)


def json_of(value: object, limit: int = MAX_TEXT) -> str:
    """``value`` as JSON text of at most about ``limit`` characters. Long strings inside are cut one by one, so the result
    still parses."""
    return fitted(
        lambda share: to_json(_Reader(int(limit * share), int(MAX_NODES * share)).read(value, 0)), limit
    )


def fitted(made: Callable[[float], str], limit: int) -> str:
    """The JSON text that ``made`` gives for the largest share (1: all) of what may be read that fits into ``limit`` characters:
    names, quotes and escapes come on top of the texts, and JSON that is cut afterwards is none."""
    share = 1.0
    text = made(share)
    for _ in range(_TRIES):
        if len(text) <= limit:
            break
        # A little less than should do, because every try reads the value again in the application's thread.
        share *= 0.95 * limit / (len(text) + 2 * _MARK)
        text = made(share)
    return text


def plain(value: object, limit: int = MAX_TEXT) -> Plain:
    """``value`` as JSON types only: cycles, failing reprs, NaN, bytes, arrays and depth are made harmless."""
    return _Reader(limit).read(value, 0)


def _exact(text: str) -> str:
    return text if type(text) is str else str.__str__(text)


class _Reader:
    """One walk over one object, with what is left of its node and character budget."""

    __slots__ = ("chars", "nodes", "path")

    def __init__(self, limit: int, nodes: int = MAX_NODES) -> None:
        self.chars = limit
        self.nodes = nodes
        self.path: set[int] = set()

    def read(self, value: object, depth: int) -> Plain:
        self.nodes -= 1
        if isinstance(value, str) and not isinstance(value, enum.Enum):
            return self._text(value)
        if value is None or value is True or value is False:
            return value
        if type(value) is int:
            return value if -(2**63) <= value < 2**63 else self._text(_big(value))
        if type(value) is float:
            return value if math.isfinite(value) else str(value)
        if self.nodes <= 0:
            return "…[truncated: too many values]"
        if depth >= MAX_DEPTH:
            return "…[truncated: too deep]"
        if id(value) in self.path:
            return f"<cycle: {type(value).__name__}>"
        self.path.add(id(value))
        try:
            return self._other(value, depth + 1)
        except Exception as error:  # noqa: BLE001  reading a foreign object runs its code; the failure is the text we keep
            return f"<{type(value).__name__}: unreadable, {type(error).__name__}>"
        finally:
            self.path.discard(id(value))

    def _text(self, text: str) -> str:
        cut = clip(_exact(text), max(self.chars, 0))
        self.chars -= len(cut)
        return cut

    def _other(self, value: object, depth: int) -> Plain:
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), depth)
        if isinstance(value, (list, tuple, Set)):
            return self._items(cast("Iterable[object]", value), depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if isinstance(value, enum.Enum):
            return self.read(value.value, depth)
        if isinstance(value, (int, float)):
            return self.read(int(value) if isinstance(value, int) else float(value), depth)
        if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, (decimal.Decimal, uuid.UUID, PurePath)):
            return self._text(str(value))
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {message_of(value)}")
        return self._object(value, depth)

    def _object(self, value: object, depth: int) -> Plain:
        if isinstance(value, type) or callable(value):
            return self._text(describe(value))
        if dataclasses.is_dataclass(value):
            fields = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
            return self._mapping(cast("Mapping[object, object]", fields), depth)
        if hasattr(value, "tolist") and hasattr(value, "size"):
            return self._array(cast("Any", value), depth)
        dump = getattr(value, "model_dump", None)
        if callable(dump):
            return self.read(dump(), depth)
        return self._text(describe(value))

    def _mapping(self, value: Mapping[object, object], depth: int) -> Plain:
        out: dict[str, Plain] = {}
        for key, item in value.items():
            if self.nodes <= 0:
                out["…"] = "[truncated: too many values]"
                break
            # Not by what is left of the characters: keys that are cut to nothing would be one.
            name = clip(_exact(key), MAX_REPR) if isinstance(key, str) else describe(key)
            self.chars -= len(name)
            out[name] = self.read(item, depth)
        return out

    def _items(self, value: Iterable[object], depth: int) -> Plain:
        out: list[Plain] = []
        for item in value:
            if self.nodes <= 0:
                out.append("…[truncated: too many values]")
                break
            out.append(self.read(item, depth))
        return out

    def _bytes(self, value: bytes | bytearray | memoryview) -> Plain:
        size = value.nbytes if isinstance(value, memoryview) else len(value)
        if size > max(self.chars, 0):
            return f"<{type(value).__name__} of {size} bytes>"
        try:
            return self._text(bytes(value).decode())
        except UnicodeDecodeError:
            return f"<{type(value).__name__} of {size} bytes>"

    def _array(self, value: Any, depth: int) -> Plain:
        # An embedding has thousands of floats nobody reads: its shape says more than its values.
        if int(value.size) > MAX_ARRAY:
            shape = getattr(value, "shape", (int(value.size),))
            return self._text(
                f"<{type(value).__name__} shape={tuple(shape)} dtype={getattr(value, 'dtype', '?')}>"
            )
        return self.read(value.tolist(), depth)


def _big(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than the interpreter agrees to print
        return f"<int of {value.bit_length()} bits>"
