"""`watchkeeper serve`: what can be refused at once is, before the two seconds the whole server takes to import."""

import argparse

from watchkeeper.cli.errors import CliError
from watchkeeper.store.clickhouse.lock import DataDirBusy, check_free


def main(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; exit status 0."""
    for name in ("port", "grpc_port"):
        if not 0 <= getattr(args, name) <= 65535:
            raise CliError(f"--{name.replace('_', '-')} {getattr(args, name)}: a port is 0 to 65535")
    try:
        check_free(args.data_dir)
    except DataDirBusy as error:
        raise CliError(str(error)) from None
    from watchkeeper.cli.serving import serve

    return serve(args)
