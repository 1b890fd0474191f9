"""The server as a process: its surroundings checked, its log set up, its signals heard."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path

from watchkeeper import compose
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.problems import ConfigError
from watchkeeper.server.listen import BindRefused, stoppable, stopped
from watchkeeper.server.ports import PortBusy, check_ports
from watchkeeper.server.running import announce, running
from watchkeeper.server.security import bind_refusal
from watchkeeper.server.services import Services
from watchkeeper.store.clickhouse.lock import DataDirBusy
from watchkeeper.store.clickhouse.migrations import SchemaTooNew
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records.engine import BadUrl
from watchkeeper.store.records.migrate import NewerSchema

log = logging.getLogger("watchkeeper")
# Whatever keeps a server from starting and is in its surroundings.
UNUSABLE = (
    DataDirBusy, BindRefused, PortBusy, NewerSchema, SchemaTooNew, StoreUnavailable, BadUrl, ConfigError,
)  # fmt: skip


_CONTROL = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160))}


def holder_of(path: Path | None) -> ConfigHolder:
    """The configuration of a file or folder. Raises `CliError` with every fault."""
    try:
        return ConfigHolder.from_path(path)
    except ConfigError as error:
        raise CliError(str(error)) from None


class OneLine(logging.Formatter):
    """What a record says is one line, whatever others had written into it; the traceback after it is ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).translate(_CONTROL)


def _set_up(args: argparse.Namespace) -> None:
    os.umask(0o077)
    level = getattr(logging, args.log_level.upper())
    for chatty in ("alembic", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    # What they warn of on the way to a column server is in the error that they raise.
    for driver in ("urllib3.connectionpool", "clickhouse_connect"):
        logging.getLogger(driver).setLevel(max(level, logging.ERROR))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


@contextlib.contextmanager
def usable_surroundings() -> Generator[None]:
    """Whatever keeps a server from starting and is not its own fault is a `CliError`."""
    try:
        yield
    except UNUSABLE as error:
        raise CliError(str(error)) from None
    except OSError as error:
        if error.filename is None:
            raise
        raise CliError(
            f"{error.filename} cannot be used: {error.strerror}; --data-dir names a folder this user may write"
        ) from None


def event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where it is installed; None for Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def serve(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; exit status 0. Raises `CliError` for whatever keeps it from starting."""
    _set_up(args)
    holder = holder_of(args.config)
    server = holder.current.server
    refusal = bind_refusal(args.host, args.no_auth, server.public_url, server.behind_tls_proxy)
    if refusal is not None:
        raise CliError(refusal)
    with usable_surroundings():
        # Before anything is made on the disk.
        check_ports(args.host, args.port, args.grpc_port)
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            return runner.run(stoppable(_serve(args, holder)))


async def _serve(args: argparse.Namespace, holder: ConfigHolder) -> int:
    stores = compose.Stores.of(args.data_dir, args.columns, args.records)
    async with (
        compose.services(args.data_dir, holder, no_auth=args.no_auth, stores=stores) as made,
        running(made, args.host, args.port, args.grpc_port or None) as server,
    ):
        announce(server, made)
        await stopped(lambda: _reload(made))
    return OK


def _reload(services: Services) -> None:
    if services.config.reload(services.wall_clock()):
        log.warning("the configuration was read again and is in use")
        return
    rejected = services.config.rejected
    for problem in rejected.problems if rejected else ():
        log.error("the new configuration was rejected: %s", problem)
