"""Named queries: `store/sql/*.sql`, each `-- name: x`, a comment saying what, and server-side bound parameters.

What several queries share is written once in `fragments.sql` (`-- fragment: x`) and stands in them as `${x}`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec

_NAME = re.compile(r"^-- name:\s*(\w+)\s*$", re.MULTILINE)
_FRAGMENT = re.compile(r"^-- fragment:\s*(\w+)\s*$", re.MULTILINE)
_USE = re.compile(r"\$\{(\w+)\}")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_FRAGMENTS = "fragments.sql"
_PARAMETER = re.compile(r"\{(\w+):\s*(\w[\w(), ]*)\}")
# A line of its own for a condition that holds of everything while its parameter is empty.
_OPTIONAL = re.compile(r"^\s*AND \(empty\(\{(\w+):String\}\) OR (.*)\)$")


class NamedQuery(msgspec.Struct, frozen=True):
    """One query: `parameters` maps each name it binds to its ClickHouse type."""

    name: str
    sql: str
    parameters: dict[str, str]

    def said(self, bound: Mapping[str, Any]) -> str:
        """The statement for these parameters. What an empty one leaves open is left out: the engine reads the columns and looks at
        every row even of a condition that cannot fail."""
        return _said(self.sql, frozenset(name for name, value in bound.items() if value == ""))


@lru_cache(maxsize=1024)
def _said(sql: str, empty: frozenset[str]) -> str:
    lines: list[str] = []
    for line in sql.split("\n"):
        found = _OPTIONAL.match(line)
        if found is None:
            lines.append(line)
        elif found[1] not in empty:
            lines.append(f"AND ({found[2]})")
    return "\n".join(lines)


def _bare(body: str) -> str:
    return _COMMENT.sub("", body).strip().rstrip(";").strip()


def fragments(text: str) -> dict[str, str]:
    """The pieces of `fragments.sql` by name."""
    pieces = _FRAGMENT.split(text)[1:]
    return {name: _bare(body) for name, body in zip(pieces[::2], pieces[1::2], strict=True)}


def parse(text: str, where: str, shared: Mapping[str, str] | None = None) -> dict[str, NamedQuery]:
    """The queries of one file, with the `shared` fragments in their places. Raises ValueError for a query that does not bind
    `project`, because no query may see all, and for a fragment that does not exist."""
    known = shared or {}

    def piece(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise ValueError(f"{where}: there is no fragment {match[1]}")
        return known[match[1]]

    pieces = _NAME.split(text)[1:]
    found: dict[str, NamedQuery] = {}
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        sql = _USE.sub(piece, _bare(body))
        parameters = dict(_PARAMETER.findall(sql))
        if parameters.get("project") != "String":
            raise ValueError(f"{where}: query {name} must bind {{project:String}}")
        if name in found:
            raise ValueError(f"{where}: query {name} is there twice")
        found[name] = NamedQuery(name, sql, parameters)
    return found


@lru_cache(maxsize=1)
def load() -> dict[str, NamedQuery]:
    """Every named query shipped."""
    folder = resources.files("watchkeeper.store") / "sql"
    shared = fragments((folder / _FRAGMENTS).read_text())
    found: dict[str, NamedQuery] = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".sql"):
            continue
        for name, query in parse(file.read_text(), file.name, shared).items():
            if name in found:
                raise ValueError(f"{file.name}: query {name} is also in another file")
            found[name] = query
    return found
