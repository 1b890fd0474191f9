"""A process beside this one that answers messages, one at a time."""

import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

START_S = 30.0
Answer = Callable[[bytes], bytes]
_GONE = (EOFError, ConnectionError)
# Not `multiprocessing.Process`, which imports the parent's main module again: the whole server, for its smallest part.
_MAIN = "import sys; sys.path[:] = sys.argv[2:]; from watchkeeper.pipeline.child import main; main(int(sys.argv[1]))"


def main(pipe: int) -> None:
    """The child: what it is asked comes first, then messages until the pipe closes."""
    import resource

    # Whoever stops the parent from its terminal means both; the parent ends this one when it has no more to ask.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection: Connection[Any, Any] = Connection(pipe)
    try:
        asked, memory = connection.recv()
    except _GONE:
        return
    try:
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        make, given = pickle.loads(asked)
        answer: Answer = make(*given)
    except ValueError as error:
        _told(connection, pickle.dumps(str(error)))
        return
    heard = _told(connection, pickle.dumps(""))
    while heard:
        try:
            message = connection.recv_bytes()
        except _GONE:
            return
        heard = _told(connection, answer(message))


def _told(connection: "Connection[Any, Any]", said: bytes) -> bool:
    """Whether the parent was there to hear it: a child of one that was killed ends without a word."""
    try:
        connection.send_bytes(said)
    except _GONE:
        return False
    return True


class Child:
    """A process that is asked `make(*given)(message)`; started on first use, replaced after it was stopped. `memory` limits its
    address space in bytes, 0 for no limit. Whoever asks holds `lock`."""

    def __init__(self, name: str, make: Callable[..., Answer], *given: Any, memory: int = 0) -> None:
        self._name, self._make, self._given, self._memory = name, make, given, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Any = None
        self.lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process that can be asked without being started; None where there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ValueError with what `make` said against it, TimeoutError."""
        made = pickle.dumps((self._make, self._given))
        # Not forked: a copy would inherit threads' locks and open stores.
        self._pipe, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-c", _MAIN, str(theirs.fileno()), *sys.path]
        # What a user's function prints goes to the log: others read the server's own words on standard output.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        try:
            self._pipe.send((made, self._memory))
            if not self._pipe.poll(START_S):
                raise TimeoutError(f"the process of {self._name} did not start within {START_S:g} s")
            problem = self._pipe.recv()
            if problem:
                raise ValueError(problem)
        except (OSError, EOFError, ValueError):
            self.stop()
            raise

    def ask(self, message: "bytes | bytearray | memoryview", seconds: float) -> bytes:
        """Its answer. Raises TimeoutError after so many seconds and EOFError or OSError when it died; all stop it."""
        if self.pid is None:
            self.start()
        try:
            self._pipe.send_bytes(message)
            if not self._pipe.poll(seconds):
                raise TimeoutError(f"no answer within {seconds:g} s")
            return self._pipe.recv_bytes()
        except (TimeoutError, EOFError, OSError):
            self.stop()
            raise

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
