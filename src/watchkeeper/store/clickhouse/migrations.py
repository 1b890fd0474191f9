"""Numbered migrations of the column store: applied at start, recorded, safe to kill and to repeat."""

import re
from collections.abc import Callable
from importlib import resources

from clickhouse_connect.driver.client import Client

# Files and directory of a new part are synced before the insert returns; a merged or mutated part before it replaces its
# sources, because those are deleted within seconds: erased bytes must go, and the new part is all there is then.
DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 5, "
    "cleanup_delay_period = 10, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 20"
)
RESTED = ", min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1"
# The embedded engine is told by its own configuration how to compress a part of which size (`engine.COMPRESSION`); a server's is
# not ours to write.
SERVER_CODEC = ", default_compression_codec = 'ZSTD(3)'"
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


class SchemaTooNew(Exception):
    """The data was written by a newer version of Watchkeeper than this one."""


def known() -> list[tuple[int, str, str]]:
    """Every migration shipped: number, file name, text; in order."""
    folder = resources.files("watchkeeper.store") / "sql" / "columns"
    found = [
        (int(f.name[:4]), f.name, f.read_text())
        for f in folder.iterdir()
        if re.match(r"\d{4}_\w+\.sql$", f.name)
    ]
    return sorted(found)


def statements(text: str, embedded: bool) -> list[str]:
    """The statements of a migration; each ends with a semicolon at the end of a line."""
    bare = _COMMENT.sub("", text)
    codec = "" if embedded else SERVER_CODEC
    for name, said in (("durable", DURABLE), ("rested", RESTED), ("codec", codec)):
        bare = bare.replace(f"${{{name}}}", said)
    return [s.strip() for s in re.split(r";\s*(?:\n|$)", bare) if s.strip()]


def migrate(
    client: Client, now_ns: int, *, embedded: bool = False, changing: Callable[[], None] = lambda: None
) -> list[str]:
    """Apply what is missing and return the names applied; `changing` is called before a table changes. Every statement may
    run twice, so a kill between a statement and its record is repaired by the next start. Raises SchemaTooNew."""
    client.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number UInt32, name String, applied_at DateTime64(9, 'UTC')) "
        f"ENGINE = ReplacingMergeTree ORDER BY number SETTINGS {DURABLE}"
    )
    done = {int(row[0]) for row in client.query("SELECT number FROM schema_migrations").result_rows}
    shipped = known()
    newest = shipped[-1][0] if shipped else 0
    if done and max(done) > newest:
        raise SchemaTooNew(
            f"the data has schema {max(done)} and this version knows {newest}: start the newer version again, "
            "or restore a backup made with this one"
        )
    applied: list[str] = []
    for number, name, text in shipped:
        if number in done:
            continue
        changing()
        for statement in statements(text, embedded):
            client.command(statement)
        client.insert(
            "schema_migrations", [[number, name, now_ns]], column_names=["number", "name", "applied_at"]
        )
        applied.append(name)
    return applied
