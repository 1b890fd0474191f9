"""`watchkeeper demo`: a server on a fresh data directory, and the story played through it."""

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from watchkeeper import compose
from watchkeeper.cli.errors import CliError
from watchkeeper.cli.serving import usable_surroundings
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.load import load
from watchkeeper.demo.api import Api, DemoFailed
from watchkeeper.demo.console import Console
from watchkeeper.demo.receiver import Receiver
from watchkeeper.demo.story import FAST, FULL, HOURS_IN_ALL, Stage, Story
from watchkeeper.demo.traffic import Mix, Traffic
from watchkeeper.model.times import HOUR
from watchkeeper.server.listen import stoppable, stopped
from watchkeeper.server.ports import check_ports
from watchkeeper.server.running import running

CONFIG = Path(__file__).parent / "monitoring.yaml"
LIVE_SECONDS = 4.0


class StoryClock:
    """Data time: the story's while it plays, the world's afterwards."""

    def __init__(self, start_ns: int) -> None:
        self._at: int | None = start_ns

    def __call__(self) -> int:
        return time.time_ns() if self._at is None else self._at

    def set(self, at_ns: int) -> None:
        self._at = at_ns

    def follow_the_world(self) -> None:
        self._at = None


def _start_ns() -> int:
    """When the story starts so that it ends at the last full hour."""
    return time.time_ns() // HOUR * HOUR - HOURS_IN_ALL * HOUR


def _config(receiver: Receiver) -> ConfigHolder:
    environment = {
        **os.environ,
        "WATCHKEEPER_DEMO_WEBHOOK": receiver.url,
        "WATCHKEEPER_DEMO_SECRET": receiver.secret,
    }
    loaded = load(CONFIG, environment)
    egress = loaded.config.egress.model_copy(update={"allow": (f"127.0.0.1:{receiver.port}",)})
    return ConfigHolder(loaded.config.model_copy(update={"egress": egress}), None, loaded.warnings)


async def _live(url: str, seed: int) -> None:
    """A trickle of conversations after the story, so that the pages are alive."""
    traffic = Traffic(url, None, seed, per_hour=1.0)
    try:
        while True:
            await asyncio.sleep(LIVE_SECONDS)
            await asyncio.to_thread(traffic.ask, time.time_ns() - 5 * 10**9, Mix(0.0, "2026.11.3"))
    finally:
        await asyncio.to_thread(traffic.close)


async def _play(args: argparse.Namespace, data_dir: Path, receiver: Receiver, console: Console) -> int:
    start = _start_ns()
    clock = StoryClock(start)
    stores = compose.Stores.of(data_dir, args.columns, args.records)
    async with (
        compose.services(data_dir, _config(receiver), no_auth=True, clock=clock, stores=stores) as services,
        running(services, "127.0.0.1", args.port, None) as server,
    ):
        url = server.where.url
        console.title("Watchkeeper: is your LLM application still working?")
        console.say(
            f"Open {url} now and watch; the story is told here. Customers, reviewers and on-call are played."
        )

        async def confirm_clock() -> None:
            # It leaps because the story does, not because it is wrong.
            if services.retain is not None:
                await services.retain.confirm()

        async def catch_up() -> None:
            await confirm_clock()
            await services.catch_up()

        stage = Stage(Api(url), receiver, clock.set, catch_up)
        story = Story(stage, console, FAST if args.fast else FULL, start)
        try:
            await story.play()
        except DemoFailed as failure:
            console.say(f"The story did not come out as told: {failure}", story.now, "!")
            return 1
        finally:
            await asyncio.to_thread(story.traffic.close)
        clock.follow_the_world()
        await confirm_clock()
        if args.exit:
            return 0
        console.title(f"\nThe loop is closed. Look around: {url}   (Ctrl-C stops)")
        console.detail("Next: point your own application at it,  export OTEL_EXPORTER_OTLP_ENDPOINT=" + url)
        live = asyncio.create_task(_live(url, 11))
        await stopped()
        live.cancel()
        return 0


def main(args: argparse.Namespace) -> int:
    """Play the story; exit status 0 only when it came out as told. Raises `CliError` when the demo cannot start."""
    if args.data_dir is not None and (args.data_dir / "records.db").exists():
        raise CliError(
            f"{args.data_dir} holds data already, and the story needs a fresh one: name another --data-dir, or look around "
            f"in it with 'watchkeeper serve --no-auth --data-dir {args.data_dir}'"
        )
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    console = Console()
    receiver = Receiver(secrets.token_hex(16))
    receiver.start()
    try:
        with usable_surroundings(), tempfile.TemporaryDirectory(prefix="watchkeeper-demo-") as fresh:
            check_ports("127.0.0.1", args.port)
            data_dir = args.data_dir or Path(fresh) / "data"
            return asyncio.run(stoppable(_play(args, data_dir, receiver, console)))
    finally:
        receiver.stop()
