"""A ClickHouse server's HTTP interface over the embedded engine, as far as the driver uses it: for tests of `clickhouse://…` where no
server can be had. `python -m tests.clickhouse_double DIRECTORY PORT [--certificate FILE --key FILE]` serves until it is ended.

What it has of a server: passwords, databases, settings and parameters in the address or a form, their limits of size, inserts in Native,
compression both ways, errors with their codes. What it has not: several servers, sessions, a protocol of its own for progress.
"""

import argparse
import base64
import contextlib
import email.parser
import gzip
import http.server
import re
import ssl
import tempfile
import threading
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

USER, PASSWORD, DATABASE = "keeper", "p@ss word/1", "watch"
# The defaults of a server (http_max_uri_size, http_max_field_value_size).
MOST_ADDRESS, MOST_FIELD = 1024 * 1024, 128 * 1024
# What is for the interface and no setting of the engine.
TRANSPORT = frozenset((
    "database", "session_id", "session_timeout", "session_check", "query_id", "quota_key", "compress",
    "decompress", "user", "password", "query", "wait_end_of_query", "client_protocol_version", "role",
    "buffer_size", "send_progress_in_http_headers", "enable_http_compression",
    "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
    "default_format",
))  # fmt: skip
_CODE = re.compile(r"Code: (\d+)\.")
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.I)
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(?P<into>.+?)\s+FORMAT\s+(?P<format>\w+)[ \t]*\r?\n", re.I | re.S)


class Refused(Exception):
    """An error of the server: its code, and the HTTP status it comes with."""

    def __init__(self, code: int, text: str, status: int = 500) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code, self.status = code, status


def _lz4(data: bytes) -> bytes:
    import lz4.frame

    # The driver makes a frame of every block.
    whole = b""
    while data:
        one = lz4.frame.LZ4FrameDecompressor()
        whole += one.decompress(data)
        data = one.unused_data or b""
    return whole


def _zstd(data: bytes) -> bytes:
    from backports import zstd

    return zstd.decompress(data)


UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": _lz4, "zstd": _zstd,
}  # fmt: skip


def _refused(error: Exception) -> Refused:
    """What the engine said, as a server says it."""
    text = str(error)
    found = _CODE.search(text)
    made = Refused(int(found[1]) if found else 1001, text, 404 if found and found[1] == "81" else 500)
    if found:
        made.args = (text[found.start() :],)
    return made


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Engine:
    """Connections to the embedded engine of one directory, each used by one request at a time and kept for the next with the same
    database and settings: what was set on one cannot always be taken back (`readonly`)."""

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / "data")
        self._files = directory / "inserts"
        self._files.mkdir(parents=True, exist_ok=True)
        self._idle: dict[Any, list[Any]] = {}
        self._guard = threading.Lock()
        made = chdb.connect(self._path)
        made.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE}", "TabSeparated")
        # The engine ends with its last connection.
        self._first = made

    @contextlib.contextmanager
    def _connection(self, database: str, settings: dict[str, str]) -> Generator[Any]:
        key = (database, *sorted(settings.items()))
        with self._guard:
            kept = self._idle.setdefault(key, [])
            made = kept.pop() if kept else None
        if made is None:
            made = chdb.connect(self._path)
            made.query(f"USE `{database}`", "TabSeparated")
            for name, value in sorted(settings.items(), key=lambda s: s[0] == "readonly"):
                made.query(f"SET {name} = {_quoted(value)}", "TabSeparated")
        try:
            yield made
        finally:
            with self._guard:
                kept.append(made)

    def run(self, database: str, settings: dict[str, str], bound: dict[str, str], body: bytes) -> bytes:
        """Execute one statement with these settings and parameters."""
        try:
            with self._connection(database, settings) as made:
                return self._execute(made, bound, body)
        except RuntimeError as error:
            raise _refused(error) from None

    def _execute(self, made: Any, bound: dict[str, str], body: bytes) -> bytes:
        begun = _INSERT.match(body)
        if begun is None:
            # What the statement says of its format counts; without a word of it a server answers in tabs.
            said = _FORMAT.search(body)
            form = said[1].decode() if said else "TabSeparated"
            return made.query(body.decode(), form, params=bound).bytes()
        with tempfile.NamedTemporaryFile(dir=self._files) as file:
            file.write(body[begun.end() :])
            file.flush()
            into, form = begun["into"].decode(), begun["format"].decode()
            made.query(f"INSERT INTO {into} FROM INFILE {_quoted(file.name)} FORMAT {form}", "TabSeparated")
        return b""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read what the product says."""

    def _authorised(self, given: dict[str, str]) -> None:
        user, password = given.get("user", "default"), given.get("password", "")
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(value).decode().partition(":")
        if (user, password) != (USER, PASSWORD):
            raise Refused(
                516,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name. "
                "(AUTHENTICATION_FAILED)",
                403,
            )

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") == "chunked":
            data = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("content-length", 0)))
        packed = self.headers.get("content-encoding", "")
        return UNPACK[packed](data) if packed else data

    def _answer(self, status: int, data: bytes, more: dict[str, str]) -> None:
        if "gzip" in self.headers.get("accept-encoding", "") and status == 200 and len(data) > 100:
            data, more = gzip.compress(data, 1), {**more, "Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in {**more, "Content-Length": str(len(data)), "X-ClickHouse-Timezone": "UTC"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n", {})
            return
        self.do_POST()

    def do_POST(self) -> None:
        try:
            data = self._run(self._body())
        except Refused as error:
            self._answer(error.status, str(error).encode(), {"X-ClickHouse-Exception-Code": str(error.code)})
        except (ValueError, RuntimeError, EOFError) as error:
            # A body that ends in the middle: the client gave up while it made it.
            said = f"Code: 33. DB::Exception: Cannot read all data: {error} (CANNOT_READ_ALL_DATA)"
            self._answer(400, said.encode(), {"X-ClickHouse-Exception-Code": "33"})
        else:
            self._answer(200, data, {"X-ClickHouse-Format": "TabSeparated", "X-ClickHouse-Summary": "{}"})

    def _run(self, body: bytes) -> bytes:
        if len(self.path) > MOST_ADDRESS:
            raise Refused(1000, "URI too long", 414)
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            parsed = email.parser.BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
            for part in parsed.get_payload():
                name = part.get_param("name", header="content-disposition")
                given[str(name)] = part.get_payload(decode=True).decode()
            body = b""
        for name, value in given.items():
            if len(value.encode()) > MOST_FIELD:
                raise Refused(1000, f"HTML Form Exception: Field value too long: {name}", 400)
        self._authorised(given)
        query = given.get("query", "").encode()
        text = query + b"\n" + body if query and body else query or body
        settings = {k: v for k, v in given.items() if k not in TRANSPORT and not k.startswith("param_")}
        bound = {k.removeprefix("param_"): v for k, v in given.items() if k.startswith("param_")}
        return self.engine.run(given.get("database", "default"), settings, bound, text)


class Server(http.server.ThreadingHTTPServer):
    """The double, listening on 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    args = parser.parse_args()
    Handler.engine = Engine(args.directory)
    server = Server(("127.0.0.1", args.port), Handler)
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.certificate, args.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"ready {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
