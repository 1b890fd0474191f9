from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring import jsonschemas
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.checks.json_valid import unfence


@dataclass(frozen=True, kw_only=True)
class JsonSchema(Check):
    """The output is JSON that fits a schema. Remote references are never fetched; `pattern` runs on RE2.

    schema: a JSON Schema (draft 2020-12).
    """

    type = "json_schema"
    row = "C1"
    summary = "The output is JSON that fits the given JSON Schema."
    error_class = "invalid_output"
    example = {"schema": {"type": "object", "required": ["answer"]}}

    schema: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        if not self.schema:
            raise ValueError("schema: a JSON Schema is required")
        try:
            jsonschemas.check_schema(self.schema)
        except ValueError as error:
            raise ValueError(f"schema: {error}") from error

    def one(self, subject: Subject) -> Outcome:
        if subject.output_text is None:
            return NotScored("no output recorded")
        try:
            value = msgspec.json.decode(unfence(subject.output_text).encode("utf-8", "surrogatepass"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return fail(f"not JSON: {error}", self.error_class)
        wrong = jsonschemas.problem(self.schema, value)
        return PASS if wrong is None else fail(wrong, self.error_class)
