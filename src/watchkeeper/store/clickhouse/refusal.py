"""Limits of user SQL on its connection, and the engine's complaints in words that give nothing away."""

import re
from collections.abc import Iterable
from typing import Any

from clickhouse_connect.driver.exceptions import Error

from watchkeeper.store.clickhouse.engine import PARTITIONED, TOO_LATE
from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox_words import did_you_mean

MB = 1024 * 1024
MAX_ANSWER_BYTES = 10 * MB
TOO_LARGE = (
    "the answer is too large",
    "an answer holds at most 10,000 rows and 10 MB: add a LIMIT, aggregate, or take all with 'watchkeeper export --query'",
)
# Applied in order; `readonly` goes last, because nothing can be set after it.
SANDBOX: dict[str, Any] = {
    **PARTITIONED,
    "max_execution_time": 5,
    "timeout_overflow_mode": "throw",
    "max_memory_usage": 512 * MB,
    "max_result_rows": 10_001,
    "max_result_bytes": 10 * MB,
    "result_overflow_mode": "throw",
    "max_block_size": 8192,
    "max_threads": 2,
    "max_ast_depth": 500,
    "max_ast_elements": 20_000,
    "max_expanded_ast_elements": 100_000,
    "max_columns_to_read": 500,
    "function_range_max_elements_in_block": 1_000_000,
    # Spilling to disk would be writing a file.
    "max_bytes_before_external_group_by": 0,
    "max_bytes_before_external_sort": 0,
    "max_bytes_ratio_before_external_group_by": 0,
    "max_bytes_ratio_before_external_sort": 0,
    "join_algorithm": "hash",
    # NULL means unknown also where a join found nothing.
    "join_use_nulls": 1,
    "use_query_cache": 0,
    "allow_ddl": 0,
    "log_queries": 0,
    "readonly": 1,
}
_IDENTIFIER = re.compile(
    r"[Uu]nknown (?:expression or function |expression |)identifier [`'\"]?([^`'\"]+?)[`'\"]", re.DOTALL
)
_TOO_LARGE = {
    396: "the answer is too large",
    158: "the statement reads too much",
    307: "the statement reads too much",
}
_USERS = {
    6, 27, 36, 38, 41, 42, 43, 44, 46, 47, 48, 51, 53, 62, 69, 70, 72, 80, 81, 107, 117, 131, 153, 165, 169, 179, 184,
    190, 207, 215, 258, 349, 352, 386, 403, 407, 427, 456, 457, 559, 592, 630, 692,
}  # fmt: skip


def size_of(value: Any) -> int:
    """Roughly the bytes of a value in an answer."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(k)) + size_of(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return sum(map(size_of, value))
    return 8


def _code(text: str) -> int:
    found = re.search(r"Code:\s*(\d+)", text)
    return int(found.group(1)) if found else 0


def _sentence(text: str) -> str:
    """The first sentence of the engine's message, without the statement, paths, addresses and versions."""
    message = text.split("DB::Exception:")[-1].split("\n")[0].split(" (for url ")[0]
    message = re.split(
        r":? ?[Ii]n scope |: [Ww]hile |, while |\. Stack trace|: \(at row|\(version ", message
    )[0]
    message = re.sub(r"\([A-Z_]{4,}\)", "", message)
    message = message.replace("wk_project", "project").replace("wkq_", "")
    return message.strip(" .:")[:300]


def refusal_of(
    error: Error, columns: Iterable[str], scorers: Iterable[str], seconds: int = SANDBOX["max_execution_time"]
) -> QueryRefused:
    """What the user is told when the engine turned a statement down, which may take so many `seconds`."""
    text = str(error)
    code = _code(text)
    if code in TOO_LATE:
        return QueryRefused(
            f"the statement took longer than {seconds} seconds", "narrow it by time or select fewer columns"
        )
    if code == 241:
        return QueryRefused(
            "the statement needed more than 512 MB of memory", "narrow it by time, or group by less"
        )
    if code in _TOO_LARGE:
        return QueryRefused(*TOO_LARGE)
    unknown = _IDENTIFIER.search(text)
    if code == 47 and unknown:
        name = unknown.group(1).split(".")[-1]
        return QueryRefused(f"there is no column {name[:100]}", did_you_mean(name, {*columns, *scorers}))
    if code in _USERS:
        return QueryRefused(_sentence(text) or "the statement is not valid", "check the types and arguments")
    return QueryRefused(
        "the store could not answer this statement", f"its code was {code}; the log has the details"
    )
