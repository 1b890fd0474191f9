"""`watchkeeper dataset list|export|import|diff`: cases out as JSON lines or Parquet, and in from these, JSON and CSV."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from watchkeeper.cli.answering import dataset_of, of_split
from watchkeeper.cli.client import Client, add_server
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.output import MOST_NAMED, moves, shown, table, write_text, written
from watchkeeper.model.numerals import counted
from watchkeeper.model.splits import SPLITS
from watchkeeper.testing import cases


def add_arguments(which: Any, runs: Any) -> None:
    """The subcommands of `dataset`."""
    listing = which.add_parser("list", help="the datasets with their versions")
    add_server(listing)
    runs(listing, "watchkeeper.cli.dataset:listed")
    out = which.add_parser(
        "export", help="write a version's cases to a file (.jsonl, .parquet) or - for standard output"
    )
    out.add_argument("dataset", metavar="NAME[@VERSION]", help="the newest version where none is named")
    out.add_argument("file", metavar="FILE", help="JSON lines, or Parquet where it ends in .parquet")
    out.add_argument("--split", help="only this split")
    add_server(out)
    runs(out, "watchkeeper.cli.dataset:export")
    into = which.add_parser(
        "import", help="add a file's cases (.jsonl, .json, .csv, .parquet) as a new version"
    )
    into.add_argument("dataset", metavar="NAME", help="made where there is none")
    into.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="one that `dataset export` wrote, or another product's dataset",
    )
    into.add_argument("--split", choices=SPLITS, help="put every case into this split")
    into.add_argument("--note", default="", help="why, for the version")
    into.add_argument(
        "--duplicates", choices=("refuse", "skip", "keep"), default="refuse",
        help="what becomes of a case that asks what another asks (refuse)",
    )  # fmt: skip
    add_server(into)
    runs(into, "watchkeeper.cli.dataset:bring")
    between = which.add_parser("diff", help="what changed between two versions")
    between.add_argument("old", metavar="NAME@VERSION", help="the earlier one")
    between.add_argument("new", metavar="NAME[@VERSION]", nargs="?", help="the later one (the newest)")
    add_server(between)
    runs(between, "watchkeeper.cli.dataset:diff")


def listed(args: argparse.Namespace) -> int:
    """Print the datasets."""
    rows = Client.of(args).call("GET", "/api/datasets")
    table(
        ["name", "version", "cases", "changed"],
        [[r["name"], r["version"], r["cases"], r["updated"]] for r in rows],
        sys.stdout,
    )
    return OK


def _path(name: str, more: str = "", **query: Any) -> str:
    given = {k: v for k, v in query.items() if v is not None}
    return f"/api/datasets/{quote(name, safe='')}{more}" + (f"?{urlencode(given)}" if given else "")


def write_parquet(found: Iterable[dict[str, Any]], file: Any) -> None:
    """Cases as a Parquet table: texts, lists of texts, and `input` and `context` as JSON texts."""
    try:
        arrow, parquet = cases.arrow()
    except cases.CasesError as error:
        raise CliError(str(error)) from None
    text, texts = arrow.string(), arrow.list_(arrow.string())
    schema = arrow.schema([(n, texts if n in cases.LISTS else text) for n in cases.FIELDS])
    rows = [
        {n: json.dumps(c.get(n), ensure_ascii=False) if n in cases.NESTED else c.get(n) for n in cases.FIELDS}
        for c in found
    ]
    parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), file, compression="zstd")


def usable(path: Path, split: str | None) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """The cases of a file that a server takes, each with its place, and what is wrong with the others. Raises `CliError` where there is none."""
    taken: list[tuple[str, dict[str, Any]]] = []
    faults: list[str] = []
    try:
        for where, case in cases.found_in(path):
            if isinstance(case, cases.CasesError):
                faults.append(str(case))
                continue
            told = {**case, "split": split} if split else case
            told = {k: v for k, v in told.items() if v is not None or k == "input"}
            if fault := cases.fault_of(told):
                faults.append(f"{where}: {fault}")
                continue
            taken.append((where, told))
    except cases.CasesError as error:
        raise CliError(str(error)) from None
    if not taken:
        raise CliError(
            faults[0] if len(faults) == 1 else _named(path, faults) if faults else f"{path} holds no case"
        )
    return taken, faults


def _named(path: Path, faults: list[str]) -> str:
    """How many records of a file are left out, and why."""
    more = [f"and {len(faults) - MOST_NAMED} more"] if len(faults) > MOST_NAMED else []
    said = f"{counted(len(faults), 'record')} of {path} left out:"
    return "\n  ".join([said, *faults[:MOST_NAMED], *more])


def export(args: argparse.Namespace) -> int:
    """Write a version's cases."""
    name, version = dataset_of(args.dataset)
    if Path(args.file).suffix.lower() in (".csv", ".tsv"):
        # What a case holds has no columns, and a file of that name would be read as a table.
        raise CliError(
            f"{args.file}: cases are written as JSON lines or Parquet; end it in .jsonl or .parquet"
        )
    found = Client.of(args).call("GET", _path(name, version=version))
    taken = of_split(found, args.split)
    if args.file != "-" and Path(args.file).suffix.lower() == ".parquet":
        with written(args.file) as file:
            write_parquet(taken, file)
    else:
        text = "".join(json.dumps(c, ensure_ascii=False) + "\n" for c in taken)
        if args.file == "-":
            sys.stdout.write(text)
            return OK
        write_text(args.file, text)
    print(
        f"{counted(len(taken), 'case')} of {name} v{found['version']} written to {args.file}", file=sys.stderr
    )
    return OK


def bring(args: argparse.Namespace) -> int:
    """Add a file's cases."""
    brought, faults = usable(args.file, args.split)
    note = args.note or f"imported from {args.file.name}"
    if len(brought) > 10_000:
        raise CliError(
            f"{args.file} holds {len(brought)} cases; a version takes 10,000 at a time, so split the file"
        )
    made = Client.of(args).call(
        "POST",
        _path(args.dataset, "/cases"),
        {"add": [case for _, case in brought], "note": note, "duplicates": args.duplicates},
        {f"add.{i}": where for i, (where, _) in enumerate(brought)},
    )
    print(f"{args.dataset} v{made['version']}: {counted(made['cases'])}")
    for twin in made["skipped"][:10]:
        print(
            f"  left out {twin['case_id']}: it asks what {twin['other_id']} asks ({twin['similarity']:.0%} alike)"
        )
    if len(made["skipped"]) > 10:
        print(f"  and {len(made['skipped']) - 10} more")
    for said in moves(made["moved"]):
        print(said)
    if faults:
        print(_named(args.file, faults), file=sys.stderr)
        return BAD_INPUT
    return OK


def diff(args: argparse.Namespace) -> int:
    """Print what changed between two versions."""
    name, old = dataset_of(args.old)
    other, new = dataset_of(args.new) if args.new else (name, None)
    if other != name:
        raise CliError(f"{name} and {other} are two datasets; compare versions of one")
    if old is None:
        raise CliError(f"say which version: {name}@1 (watchkeeper dataset list shows the newest)")
    found = Client.of(args).call("GET", _path(name, "/diff", **{"from": old, "to": new}))
    print(
        f"{name} v{found['from']} → v{found['to']}: {found['added']} added, {found['changed']} changed, {found['removed']} removed"
    )
    for change in found["changes"]:
        given = change["input"]
        asked = given.get("text", given) if isinstance(given, dict) else given
        print(f"  {change['kind'][0].upper()} {change['id']}  {change['split']}  {shown(asked)}")
        for field, (was, now) in change["fields"].items():
            print(f"      {field}: {shown(was)} → {shown(now)}")
    return OK
