"""`watchkeeper keys` and `watchkeeper login-link`: through the running server, or on its data when it is stopped."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from watchkeeper.cli.client import Client, check_data_dir, server_of
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import table
from watchkeeper.model.times import DAY

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

T = TypeVar("T")
LONGEST_DAYS = 3650


def _on_data(args: argparse.Namespace, work: Callable[["Connection"], T]) -> T:
    """Run `work` on the records: of a data directory no server uses, or on PostgreSQL. Raises `CliError`."""
    from watchkeeper.store.clickhouse.lock import DataDirBusy, DataDirLock
    from watchkeeper.store.columns import StoreUnavailable
    from watchkeeper.store.records import migrate
    from watchkeeper.store.records.access import AccessRefused
    from watchkeeper.store.records.engine import BadUrl, Records

    if not args.records:
        check_data_dir(args.data_dir)
    try:
        lock = DataDirLock(args.data_dir)
    except DataDirBusy as error:
        raise CliError(str(error)) from None
    except OSError as error:
        raise CliError(f"{args.data_dir} cannot be used as a data directory: {error.strerror}") from None
    try:
        records = Records(args.records or migrate.url_of(args.data_dir))
        try:
            migrate.upgrade(records)
            return records.write_now(work)
        finally:
            records.close()
    except AccessRefused as error:
        raise CliError(f"{error}\n  {error.hint}" if error.hint else str(error)) from None
    except (BadUrl, StoreUnavailable, migrate.NewerSchema) as error:
        raise CliError(str(error)) from None
    finally:
        lock.release()


def _remote(args: argparse.Namespace) -> Client | None:
    return Client.of(args) if server_of(args) else None


def create(args: argparse.Namespace) -> int:
    """Make a key and print it; it is never shown again."""
    if args.expires_in_days is not None and not 1 <= args.expires_in_days <= LONGEST_DAYS:
        raise CliError(
            f"--expires-in-days {args.expires_in_days}: from 1 to {LONGEST_DAYS}; leave it out for a key that does not expire"
        )
    client = _remote(args)
    project = "*" if args.all_projects else args.project or "default"
    if client is not None:
        body = {"name": args.name, "role": args.role, "project": project}
        if args.expires_in_days is not None:
            body["expires_in_days"] = args.expires_in_days
        print(client.call("POST", "/api/keys", body)["key"])
        return OK
    now = time.time_ns()
    expires = None if args.expires_in_days is None else now + args.expires_in_days * DAY

    def work(conn: "Connection") -> str:
        from watchkeeper.store.records import access, audit

        key, text = access.create_key(
            conn, project=project, name=args.name, role=args.role,
            created_by="command line", now_ns=now, expires_ns=expires,
        )  # fmt: skip
        audit.record(
            conn, project=project, now_ns=now, actor="command line", source="local",
            action="key.create", target=f"{key.id} {key.name}", detail={"role": key.role},
        )  # fmt: skip
        return text

    print(_on_data(args, work))
    return OK


def _when(ns: int | None) -> str:
    return "" if ns is None else datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M")


def list_keys(args: argparse.Namespace) -> int:
    """Print the keys without their secrets."""
    client = _remote(args)
    if client is not None:
        rows: list[dict[str, Any]] = client.call("GET", "/api/keys")
    else:
        now = time.time_ns()

        def work(conn: "Connection") -> list[dict[str, Any]]:
            from watchkeeper.store.records import access

            return [
                {
                    **{n: getattr(k, n) for n in ("id", "name", "role", "project")},
                    "state": k.state(now),
                    "created": _when(k.created_ns),
                    "expires": _when(k.expires_ns),
                    "last_used": _when(k.last_used_ns),
                }
                for k in access.list_keys(conn, args.project)
            ]

        rows = _on_data(args, work)
    names = ("id", "name", "role", "project", "state", "created", "expires", "last_used")
    table(names, [[row.get(n) for n in names] for row in rows], sys.stdout)
    return OK


def revoke(args: argparse.Namespace) -> int:
    """Revoke a key by its id."""
    client = _remote(args)
    if client is not None:
        client.call("DELETE", f"/api/keys/{quote(args.id, safe='')}")
    else:
        now = time.time_ns()

        def work(conn: "Connection") -> bool:
            from watchkeeper.store.records import access, audit

            key = access.revoke_key(conn, None, args.id, now)
            if key is not None:
                audit.record(
                    conn, project=key.project, now_ns=now, actor="command line", source="local",
                    action="key.revoke", target=f"{key.id} {key.name}",
                )  # fmt: skip
            return key is not None

        if not _on_data(args, work):
            raise CliError(f"there is no active key {args.id}; 'watchkeeper keys list' shows them")
    print(f"revoked {args.id}")
    return OK


def login_link(args: argparse.Namespace) -> int:
    """Print a one-time login link for a person, the first admin by default."""
    client = _remote(args)
    if client is not None:
        people: list[dict[str, Any]] = client.call("GET", "/api/users")
        found = [p for p in people if p["email"] == args.email.lower() and not p["disabled"]]
        if not found:
            known = ", ".join(p["email"] for p in people if not p["disabled"])
            there = (
                f"--email takes one of {known}"
                if known
                else "it knows nobody, as one that runs without login"
            )
            raise CliError(f"the server has no user {args.email} in this project; {there}")
        link = client.call("POST", f"/api/users/{found[0]['id']}/login")["login"]
        print(link if link.startswith("http") else client.server + link)
        return OK
    now = time.time_ns()

    def work(conn: "Connection") -> str | None:
        from watchkeeper.store.records import access

        access.first_login(conn, now)
        person = access.find_user(conn, args.email)
        return None if person is None or person["disabled"] else access.create_login(conn, person["id"], now)

    token = _on_data(args, work)
    if token is None:
        raise CliError(f"there is no user {args.email}")
    print(f"/login?token={token}")
    print("  valid for 24 hours at the server's address, once it runs on this data directory")
    return OK
