"""Hold every promise of docs/reliability.md at full size, one after the other: `make chaos`.

    python -m tests.flow.campaigns [--share 0.2] [--list] [D2 O4 …]

Each promise is a process of its own: one that fails, hangs or is ended leaves the others as they are, and its whole output is
in `.chaos/MARK.log`. What a campaign says of itself is shown as it comes. Ends with 1 when a promise was not kept.
"""

import argparse
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".chaos"
PROOF = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")
# What takes longest comes last, so that a run that is ended has said most.
LAST = ("D1",)
# A campaign says something at each tenth, and pytest at the end of each test: one that says nothing for so long hangs.
SILENT_S = 3600.0
HELD, SKIPPED, BROKEN = "held", "skipped in part", "NOT HELD"


@dataclass(frozen=True)
class Promise:
    """A row of the table: its marks, what holds, and the pytest ids of its tests and controls."""

    marks: tuple[str, ...]
    what: str
    tests: tuple[str, ...]


def promises(text: str) -> list[Promise]:
    """The rows of the table of promises, in its order."""
    rows = [
        [c.strip() for c in x.strip("|").split(" | ")] for x in text.splitlines() if re.match(r"\| [A-Zc]", x)
    ]
    return [
        Promise(tuple(row[0].split(", ")), row[1], tuple(f"tests/{file}::{name}" for file, name in PROOF.findall(" ".join(row))))
        for row in rows
    ]  # fmt: skip


def chosen(found: Sequence[Promise], asked: Sequence[str]) -> list[Promise]:
    """What was asked for by its mark, or everything; raises `ValueError` for a mark that is not there."""
    if unknown := set(asked) - {m for p in found for m in p.marks}:
        raise ValueError(f"no such promise: {', '.join(sorted(unknown))}; --list names them")
    wanted = [p for p in found if not asked or set(asked) & set(p.marks)]
    return sorted(wanted, key=lambda p: p.marks[0] in LAST)


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """What it prints, as it comes; when nothing came for `SILENT_S`, its whole group is ended."""
    said: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.put(line)
        said.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = said.get(timeout=SILENT_S)
        except queue.Empty:
            end(process)
            yield f"nothing was said for {SILENT_S:g} s: ended\n"
            return
        if line is None:
            return
        yield line


def end(process: subprocess.Popen[str]) -> None:
    """Interrupt it, so that it unmounts what it mounted, then kill it and the servers it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def hold(promise: Promise, share: str) -> str:
    """Run a promise's tests and show what they say of themselves; returns `HELD`, `SKIPPED` or `BROKEN`."""
    name = promise.marks[0]
    command = [sys.executable, "-m", "pytest", "-s", "-rfEs", "--color=no", *promise.tests]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        start_new_session=True, env={**os.environ, "WATCHKEEPER_CHAOS": share, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    # Dots of pytest stand before what a test says.
    marks = "|".join(promise.marks)
    telling = re.compile(rf"(?:^|[.sF ])((?:{marks})\b.*|SKIPPED .*|FAILED .*|ERROR .*|nothing was said .*)")
    skipped = False
    try:
        with (LOGS / f"{name}.log").open("w") as log:
            for line in lines_of(process):
                log.write(line)
                log.flush()
                if found := telling.search(line):
                    print("      " + found[1], flush=True)
                    skipped |= found[1].startswith("SKIPPED")
        return BROKEN if process.wait() else SKIPPED if skipped else HELD
    finally:
        end(process)


def spent(since: float) -> str:
    """Minutes and seconds."""
    seconds = round(time.monotonic() - since)
    return f"{seconds // 60}:{seconds % 60:02d}"


def hold_all(wanted: Sequence[Promise], share: str) -> list[str]:
    """Hold one after the other and say how each ended; what came of those that were reached before it was interrupted."""
    LOGS.mkdir(exist_ok=True)
    began, ends = time.monotonic(), dict[str, str]()
    with contextlib.suppress(KeyboardInterrupt):
        for number, promise in enumerate(wanted):
            marks, since = ", ".join(promise.marks), time.monotonic()
            print(f"[{number + 1}/{len(wanted)}] {marks}: {promise.what}", flush=True)
            ends[marks] = hold(promise, share)
            print(
                f"      {ends[marks]} after {spent(since)}, all of it in .chaos/{promise.marks[0]}.log",
                flush=True,
            )
    print(f"{len(ends)} of {len(wanted)} promises tried at size {share} in {spent(began)} min")
    for end in (HELD, SKIPPED, BROKEN):
        if of_it := [marks for marks, found in ends.items() if found == end]:
            print(f"  {end}: {len(of_it)} ({'; '.join(of_it)})")
    return list(ends.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("marks", nargs="*", metavar="MARK", help="the promises to hold; default: all")
    parser.add_argument("--share", default="full", help="share of the full sizes, such as 0.2")
    parser.add_argument("--list", action="store_true", help="say what there is")
    given = parser.parse_args(arguments)
    try:
        wanted = chosen(promises((ROOT / "docs" / "reliability.md").read_text()), given.marks)
    except ValueError as error:
        parser.error(str(error))
    if given.list:
        for promise in wanted:
            print(f"{', '.join(promise.marks):14} {promise.what} (tests: {len(promise.tests)})")
        return 0
    ends = hold_all(wanted, given.share)
    return 0 if len(ends) == len(wanted) and BROKEN not in ends else 1


if __name__ == "__main__":
    # Also where it was started in the background: what is ended takes what it started and mounted with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
