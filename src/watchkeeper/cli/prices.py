"""`watchkeeper recompute-cost`: stored costs made again with the prices in force, and the models without a price."""

import argparse
import sys
import time
from typing import Any

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import BAD_INPUT, OK
from watchkeeper.cli.output import Progress, table
from watchkeeper.model.numerals import counted

POLL_SECONDS = 0.3


def main(args: argparse.Namespace) -> int:
    """Begin, wait, tell. Interrupting the wait does not stop it; running it again shows how far it is."""
    client = Client.of(args)
    if not args.list:
        wanted = {k: v for k, v in (("since", args.since), ("until", args.until)) if v is not None}
        running = client.call("GET", "/api/prices/recompute")["run"]
        if running is None or running["status"] != "running":
            client.call("POST", "/api/prices/recompute", wanted)
        run = _wait(client)
        print(
            f"costs by {run['version']}: {counted(run['changed'], 'trace')} priced again, {run['same']} cannot be priced "
            "(no known price, or a call that told no tokens), "
            f"{run['without_content']} keep their cost because their content has expired"
        )
        if run["status"] != "done":
            print("it failed; the server's log says why. Run it again to go on", file=sys.stderr)
            return BAD_INPUT
    found = client.call("GET", "/api/prices/unknown")["models"]
    if found:
        print("\nmodels without a cost (add them under price in the configuration):")
        columns = ("provider", "model", "reason", "calls", "input_tokens", "output_tokens")
        table(columns, [[m[c] for c in columns] for m in found], sys.stdout)
    elif args.list:
        print("every stored call that told its tokens has a cost")
    return OK


def _wait(client: Client) -> dict[str, Any]:
    bar: Progress | None = None
    try:
        while True:
            run: dict[str, Any] = client.call("GET", "/api/prices/recompute")["run"]
            bar = bar or Progress(run["total"], "pricing")
            bar.at(run["looked"])
            if run["status"] != "running":
                return run
            time.sleep(POLL_SECONDS)
    finally:
        if bar is not None:
            bar.end()
