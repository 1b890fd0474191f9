"""Named queries: `store/sql/*.sql`, each `-- name: x`, a comment saying what, and server-side bound parameters."""

import re
from functools import lru_cache
from importlib import resources

import msgspec

_NAME = re.compile(r"^-- name:\s*(\w+)\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"\{(\w+):\s*(\w[\w(), ]*)\}")


class NamedQuery(msgspec.Struct, frozen=True):
    """One query: `parameters` maps each name it binds to its ClickHouse type."""

    name: str
    sql: str
    parameters: dict[str, str]


def parse(text: str, where: str) -> dict[str, NamedQuery]:
    """The queries of one file. Raises ValueError for a query that does not bind `project`: no query may see all."""
    pieces = _NAME.split(text)[1:]
    found: dict[str, NamedQuery] = {}
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        sql = re.sub(r"^\s*--.*$", "", body, flags=re.MULTILINE).strip().rstrip(";").strip()
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
    found: dict[str, NamedQuery] = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".sql"):
            continue
        for name, query in parse(file.read_text(), file.name).items():
            if name in found:
                raise ValueError(f"{file.name}: query {name} is also in another file")
            found[name] = query
    return found
