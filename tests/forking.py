"""Processes of `python -m watchkeeper` that begin where its imports are done: forked from one that did them once. Tests start
hundreds of servers, and two thirds of what a start costs are imports.

What a process is of itself (its arguments in /proc, what is loaded into it from outside) is the forking one's: tests of that
start theirs from nothing.
"""

import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

POSSIBLE = sys.platform == "linux"
# What a server imports except what starts threads when it is loaded, which are not forked: chdb, and with it grpc.
_IMPORTS = ("watchkeeper.cli.main", "watchkeeper.cli.serving", "watchkeeper.web.routes", "alembic.command")
_ROOT = Path(__file__).parent.parent
_MESSAGE_BYTES = 1 << 20
_STATUS = 4


class Forked:
    """What tests use of a `subprocess.Popen` with text on `stdout`, errors included: `arguments` are those of `watchkeeper`."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.args = [sys.executable, "-m", "watchkeeper", *arguments]
        self.returncode: int | None = None
        self._life, theirs = socket.socketpair()
        output, printed = os.pipe()
        asked = json.dumps({"arguments": list(arguments), "env": dict(env), "folder": os.getcwd()}).encode()
        socket.send_fds(_forking(), [asked], [theirs.fileno(), printed])
        theirs.close()
        os.close(printed)
        self.stdout = open(output, encoding="utf-8")  # noqa: SIM115 - whoever waits for the end closes it
        self.pid = int.from_bytes(self._life.recv(_STATUS, socket.MSG_WAITALL))
        assert self.pid, "nothing was forked"

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._heard(socket.MSG_DONTWAIT)

    def wait(self, timeout: float | None = None) -> int:
        """The same when it has ended. Raises `subprocess.TimeoutExpired` after so many seconds."""
        self._life.settimeout(timeout)
        try:
            status = self._heard(socket.MSG_WAITALL)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        assert status is not None
        return status

    def _heard(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                said = self._life.recv(_STATUS, how)
            except BlockingIOError:
                return None
            assert len(said) == _STATUS, "the forking process is gone"
            self.returncode = int.from_bytes(said, signed=True)
            self._life.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As of a process: nothing happens to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _forking() -> socket.socket:
    """The way to the forking process, which ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # What is printed is read line by line; numpy's library would start threads.
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
    subprocess.Popen(command, env=env, cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    return ours


def _fork_on_demand(asking: socket.socket) -> dict[str, Any] | None:
    """Fork whenever it is asked; returns what was asked in each of the forked processes, and None in this one at the end."""
    selector = selectors.DefaultSelector()
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    selector.register(asking, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    lives: dict[int, socket.socket] = {}
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if wake in ready:
            wake.recv(4096)
            _bury(lives)
        if asking not in ready:
            continue
        message, given, _, _ = socket.recv_fds(asking, _MESSAGE_BYTES, 2)
        if not message:
            return None
        life, printed = given
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (asking, wake, woken, *lives.values()):
                end.close()
            selector.close()
            os.close(life)
            for standard in (1, 2):
                os.dup2(printed, standard)
            os.close(printed)
            return json.loads(message)
        os.close(printed)
        lives[pid] = socket.socket(fileno=life)
        lives[pid].sendall(pid.to_bytes(_STATUS))


def _bury(lives: dict[int, socket.socket]) -> None:
    """Tell of every forked process that has ended."""
    while lives:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with lives.pop(pid) as life:
            life.sendall(os.waitstatus_to_exitcode(status).to_bytes(_STATUS, signed=True))


def main() -> int:
    """Do the imports, then fork; what is forked goes on as `python -m watchkeeper` does."""
    for name in _IMPORTS:
        importlib.import_module(name)
    from watchkeeper.__main__ import main as run

    # The collector of a forked process would look at, and so copy, everything that was imported.
    gc.collect()
    gc.freeze()
    asked = _fork_on_demand(socket.socket(fileno=int(sys.argv[1])))
    if asked is None:
        return 0
    # What was opened when Python began knows another file behind the number.
    sys.stdout, sys.stderr = (os.fdopen(n, "w", 1, encoding="utf-8", closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    os.chdir(asked["folder"])
    sys.path[0] = asked["folder"]
    sys.argv = ["watchkeeper", *asked["arguments"]]
    return run()


if __name__ == "__main__":
    sys.exit(main())
