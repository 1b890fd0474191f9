"""Scorer versions: a hash of everything that determines the answer, and of nothing else."""

import hashlib
import inspect
import io
import tokenize
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import msgspec

_SKIPPED = frozenset(
    (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    )
)


@lru_cache(maxsize=512)
def code_digest(source: str) -> str:
    """A digest of Python source that ignores layout, comments and docstrings, so that reformatting is not a change."""
    kept: list[str] = []
    statement_start = True
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _SKIPPED:
            statement_start = statement_start or token.type != tokenize.COMMENT
            continue
        if token.type == tokenize.STRING and statement_start and depth == 0:
            continue
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        statement_start = False
        kept.append(token.string)
    return hashlib.sha256("\x00".join(kept).encode()).hexdigest()


@lru_cache(maxsize=512)
def module_digest(module: ModuleType) -> str:
    """The digest of a module's source; of its name where the source cannot be read (frozen installations)."""
    try:
        return code_digest(inspect.getsource(module))
    except (OSError, TypeError):
        return hashlib.sha256(module.__name__.encode()).hexdigest()


def content_version(code: ModuleType | Callable[..., Any] | type, *parts: Any) -> str:
    """Twelve hex digits over the source of the module that defines `code` and the given parameters and data."""
    module = code if isinstance(code, ModuleType) else inspect.getmodule(code)
    digest = hashlib.sha256(module_digest(module).encode() if module is not None else b"")
    for part in parts:
        raw = part if isinstance(part, bytes) else msgspec.json.encode(part, order="deterministic")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:12]
