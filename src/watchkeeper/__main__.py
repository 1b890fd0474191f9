"""`watchkeeper`, and `python -m watchkeeper`."""

import io
import os
import signal
import sys

STOPPED = 130


def _opened() -> None:
    """Give what was closed to nobody: the next file opened would have its number and get what is meant for a reader, and
    Python prints on standard output what has no standard error to go to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def main() -> int:
    """Run the command line. A signal ends it with a line and its exit status from the first import on: 0 for a server, which
    has then finished what was begun, 130 for anything else."""
    # What is said to be stopped by the one has been stopped as well by the other.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _opened()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a letter shows another; what a program or a file reads is UTF-8.
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")
    try:
        from watchkeeper.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        # A terminal has written ^C into the line.
        line = "\n" if sys.stderr.isatty() else ""
        print(f"{line}watchkeeper {command}: stopped", file=sys.stderr)
        return 0 if command == "serve" else STOPPED


if __name__ == "__main__":
    sys.exit(main())
