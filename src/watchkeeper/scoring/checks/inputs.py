"""Checks of what came in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail

# UTF-8 read as Latin-1 (Ã©, â€™), replacement characters, NULs and other control characters, lone surrogates.
_DAMAGE = re.compile(
    "\ufffd|[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u2122]|[\x00-\x08\x0b\x0e-\x1f\x7f]|[\ud800-\udfff]"
)
_CONTROL = bytes(b for b in range(32) if b not in (9, 10, 12, 13)) + b"\x7f"


@dataclass(frozen=True, kw_only=True)
class InputEmpty(Check):
    """The user's input is not blank."""

    type = "input_empty"
    row = "C6"
    of_input = True
    summary = "The recorded input is not blank."
    default = True

    def one(self, subject: Subject) -> Outcome:
        text = subject.input_text
        if text is None:
            return NotScored("no input recorded")
        return PASS if text and not text.isspace() else fail("the input is blank")


@dataclass(frozen=True, kw_only=True)
class InputEncoding(Check):
    """Input is not damaged by wrong encodings: no replacement characters, mis-decoded UTF-8 or control characters."""

    type = "input_encoding"
    row = "C6"
    of_input = True
    summary = "The input shows no encoding damage (�, Ã©, control characters, lone surrogates)."
    default = True

    def one(self, subject: Subject) -> Outcome:
        text = subject.input_text
        if not text:
            return NotScored("no input recorded")
        if text.isascii():
            raw = text.encode("ascii")
            return (
                PASS if len(raw) == len(raw.translate(None, _CONTROL)) else fail("holds control characters")
            )
        match = _DAMAGE.search(text)
        return PASS if match is None else fail(f"holds {match.group(0)!r} at character {match.start()}")


@dataclass(frozen=True, kw_only=True)
class InputLength(Check):
    """The input's length is not absurd.

    max: characters.
    """

    type = "input_length"
    row = "C6"
    of_input = True
    summary = "The input is at most `max` characters long."
    default = True
    example = {"max": 20000}

    max: int = 100_000

    def prepare(self) -> None:
        if self.max < 1:
            raise ValueError("max: must be at least 1")

    def one(self, subject: Subject) -> Outcome:
        text = subject.input_text
        if text is None:
            return NotScored("no input recorded")
        return PASS if len(text) <= self.max else fail(f"{len(text)} characters, at most {self.max}")


@dataclass(frozen=True, kw_only=True)
class InputFields(Check):
    """A structured input (JSON object) has its required fields, none of them empty.

    required: field names.
    """

    type = "input_fields"
    row = "C6"
    of_input = True
    summary = "A JSON input holds every required field, none of them empty."
    example = {"required": ["question", "customer_id"]}

    required: Sequence[str] = ()

    def prepare(self) -> None:
        if not self.required:
            raise ValueError("required: give at least one field name")

    def one(self, subject: Subject) -> Outcome:
        text = subject.input_text
        if text is None:
            return NotScored("no input recorded")
        try:
            value = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return fail(f"the input is not JSON: {error}")
        if not isinstance(value, dict):
            return fail(f"the input is a JSON {type(value).__name__}, not an object")
        for name in self.required:
            if value.get(name) in (None, "", [], {}):
                return fail(f"the input's field {name!r} is missing or empty")
        return PASS
