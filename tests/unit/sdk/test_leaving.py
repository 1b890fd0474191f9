"""Processes that end without ``atexit``: each is a real one, and must leave nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sdk.receiver import Receiver
from watchkeeper.sdk.leaving import Bell

#: Nothing is sent by itself for an hour, so that what arrives was sent because the process ends.
HEAD = """
import multiprocessing, os, signal, sys, threading, time
import watchkeeper
from watchkeeper import span, trace

@trace
def work(n=0):
    return n

def start():
    watchkeeper.init(flush_interval=3600, exit_timeout=20)
"""


def run(folder: Path, body: str, receiver: Receiver, send: signal.Signals | None = None) -> int:
    """The exit status of a process that runs ``body``, and gets ``send`` once it prints a line."""
    script = folder / "script.py"
    script.write_text(HEAD + body)
    environment = {**os.environ, "WATCHKEEPER_ENDPOINT": receiver.url}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if send is not None:
            process.stdout.readline()
            process.send_signal(send)
        try:
            return process.wait(60)
        finally:
            process.kill()


UP = "print('up', flush=True)\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f"start(); work()\n{UP}time.sleep(60)", id="in the main thread"),
        pytest.param(
            f"t = threading.Thread(target=lambda: (start(), work()), daemon=True); t.start(); t.join()\n{UP}time.sleep(60)",
            id="first used in another thread",
        ),
        pytest.param(
            # What uvicorn does: a handler of its own while it serves, then the signal again for whoever was there before.
            f"""
stopped = []
before = signal.signal(signal.SIGTERM, lambda *a: stopped.append(a))
start(); work()
{UP}
while not stopped: time.sleep(0.01)
signal.signal(signal.SIGTERM, before)
signal.raise_signal(signal.SIGTERM)
time.sleep(60)""",
            id="behind a server that stops gracefully",
        ),
    ],
)
def test_a_process_ended_by_sigterm_sends_what_it_has_and_still_dies_of_it(
    body: str, receiver: Receiver, tmp_path: Path
) -> None:
    assert run(tmp_path, body, receiver, signal.SIGTERM) == -signal.SIGTERM
    assert [span.name for span in receiver.spans] == ["work"]


def test_a_handler_of_the_application_runs_and_what_follows_is_sent_soon(
    receiver: Receiver, tmp_path: Path
) -> None:
    body = f"""
def stop(*args):
    work()
signal.signal(signal.SIGTERM, stop)
start(); work()
{UP}
while watchkeeper.sdk.stats()["sent_spans"] < 2: time.sleep(0.01)
os._exit(7)"""
    assert run(tmp_path, body, receiver, signal.SIGTERM) == 7
    assert len(receiver.spans) == 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_workers_of_a_pool_that_is_terminated_send_everything(
    method: str, receiver: Receiver, tmp_path: Path
) -> None:
    body = f"""
start()
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        pool.map(work, range(20), chunksize=1)
"""
    assert run(tmp_path, body, receiver) == 0
    assert len(receiver.spans) == 20


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a signal to one thread")
def test_a_signal_in_the_middle_of_queueing_a_span_loses_nothing(receiver: Receiver, tmp_path: Path) -> None:
    body = """
start(); work()
exporter = watchkeeper.sdk.client.client().exporter
with exporter._lock:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
time.sleep(60)"""
    assert run(tmp_path, body, receiver) == -signal.SIGTERM
    assert [span.name for span in receiver.spans] == ["work"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_child_that_made_no_span_dies_of_the_signal_at_once(receiver: Receiver, tmp_path: Path) -> None:
    body = """
start(); work()
child = os.fork()
if not child:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
assert os.waitpid(child, 0)[1] == signal.SIGTERM
assert callable(signal.getsignal(signal.SIGTERM))
"""
    assert run(tmp_path, body, receiver) == 0
    assert [span.name for span in receiver.spans] == ["work"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a signal to one thread")
def test_a_child_that_gets_the_signal_before_it_is_ready_dies_of_it(
    receiver: Receiver, tmp_path: Path
) -> None:
    body = """
start(); work()
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
for turn in range(300):
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(7)
    os.kill(child, signal.SIGTERM)
    if os.waitpid(child, 0)[1] != signal.SIGTERM:
        os._exit(1)
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
"""
    assert run(tmp_path, body, receiver) == 0
    assert len(receiver.spans) == 1


def test_a_worker_that_slept_through_the_signal_is_woken(receiver: Receiver, tmp_path: Path) -> None:
    # A signal that another thread takes leaves the main thread asleep, as does one that comes just before it falls asleep.
    body = """
def signal_myself():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

def child():
    work()
    threading.Thread(target=signal_myself, daemon=True).start()
    lock = multiprocessing.Lock()
    lock.acquire()
    lock.acquire()

if __name__ == "__main__":
    start()
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGTERM, process.exitcode
"""
    assert run(tmp_path, body, receiver) == 0
    assert [span.name for span in receiver.spans] == ["work"]


def test_a_bell_stays_set_until_it_is_cleared() -> None:
    bell = Bell()
    bell.wait(0)
    assert not bell.is_set()
    bell.set()
    bell.set()
    bell.wait()
    bell.wait()
    assert bell.is_set()
    bell.clear()
    assert not bell.is_set()
