"""What comes of a POST when the other side answers oddly: bytes of a socket, no server."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from watchkeeper.sdk.transport import Poster, Reply

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s"


@pytest.fixture
def answered() -> Iterator[Callable[[bytes], Reply]]:
    """What one POST gets where these bytes are the answer."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def ask(data: bytes) -> Reply:
            def serve() -> None:
                taken, _ = listening.accept()
                with taken:
                    received = b""
                    while not received.endswith(b"body"):
                        received += taken.recv(65536)
                    taken.sendall(data)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            poster = Poster(f"http://127.0.0.1:{listening.getsockname()[1]}", {}, 20.0, None)
            reply = poster.post("/v1/traces", b"body", {})
            poster.close()
            thread.join(20)
            return reply

        yield ask


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HINT + b"HTTP/1.1 102 Processing\r\n\r\n" + OK, 200),
        (HINT + OK.replace(b"200 OK", b"400 No"), 400),
        (HINT * 50, 0),
        (HINT, 0),
        (PAGE % (14, b"<html>..</html"), 0),
        (PAGE % (0, b""), 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    ],
)
def test_only_a_receivers_final_answer_counts(
    answered: Callable[[bytes], Reply], data: bytes, status: int
) -> None:
    reply = answered(data)
    assert reply.status == status, reply
    assert reply.ok == (200 <= status < 300) and reply.retryable == (status == 0)


def test_what_is_no_answer_cannot_steer_a_terminal(answered: Callable[[bytes], Reply]) -> None:
    reply = answered(b"\x1b[2J\x07" + b"x" * 4000 + b"\r\n")
    assert reply.retryable and reply.problem.isprintable() and len(reply.problem) <= 300


def test_an_answer_whose_head_comes_byte_by_byte_is_not_waited_for() -> None:
    gone, dripped = threading.Event(), threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def drip() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.recv(65536)
                for at in range(len(OK)):
                    taken.sendall(OK[at : at + 1])
                    if gone.wait(0.2):
                        return
                dripped.set()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        poster = Poster(f"http://127.0.0.1:{listening.getsockname()[1]}", {}, 0.5, None)
        reply = poster.post("/v1/traces", b"body", {})
        assert not dripped.is_set() and reply.retryable and reply.status == 0, reply
        gone.set()
        poster.close()
        thread.join(20)
