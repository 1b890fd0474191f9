"""The command line as a client of a server: found by address, or by the data directory it runs on."""

import argparse
import fcntl
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from watchkeeper.cli.errors import CliError
from watchkeeper.server.security import MARK

DEFAULT_SERVER = "http://127.0.0.1:4318"
PROJECT_HEADER = "x-watchkeeper-project"
DEFAULT_DATA_DIR = "watchkeeper-data"
# Seconds an answer may take: a backtest over weeks in small steps takes minutes.
PATIENCE = 600
_LOCAL, _LOCK = "local.json", "watchkeeper.lock"
# What the API names in its hints, as somebody at a command line says it.
_COMMANDS = {
    "backfills": "backfill --list",
    "datasets": "dataset list",
    "dead-letters": "dead-letters",
    "experiments": "experiment list",
    "incidents": "incident list",
    "keys": "keys list",
    "managed": "signal managed",
    "prices/recompute": "recompute-cost --list",
    "signals": "signal list",
    "taxonomy": "taxonomy list",
    "trained": "train --list",
}
_PLACE, _FIELD = re.compile(r"GET /api/([a-z/-]+)"), re.compile(r"'([a-z_]+)': (?=\w)")
# Fields of the API that a command line calls something else.
_ALIASES = {
    "against": "before",
    "baseline": "against",
    "id": "retry",
    "labels": "draw",
    "n": "examples",
    "name": "save",
    "trace_ids": "trace",
    "user_id": "user",
}
_FAULT = re.compile(r"([a-z_]+(?:\.[^.:\s]+)*): (.+)", re.DOTALL)
_FIELDS_DESCRIBED = "/api/docs describes every field"


def add_server(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which server."""
    parser.add_argument("--server", help="its address; or in WATCHKEEPER_ENDPOINT")
    parser.add_argument("--api-key", default=os.environ.get("WATCHKEEPER_API_KEY"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--project", default=os.environ.get("WATCHKEEPER_PROJECT"), help="the project (default)"
    )
    add_data_dir(parser)
    # So that what the server says of a field is told of what somebody typed.
    parser.set_defaults(parser=parser)


def _folder(text: str) -> Path:
    # An empty path is the current folder, of which nobody means to make a data directory by an unset variable.
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; name a folder")
    return Path(text)


class _Named(argparse.Action):
    """Stores a data directory, and that it was named: a default may mean another place, what somebody wrote may not."""

    def __call__(self, _parser: Any, namespace: argparse.Namespace, values: Any, _option: Any = None) -> None:
        namespace.data_dir, namespace.data_dir_named = values, True


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """The argument that names the data directory."""
    chosen = Path(os.environ.get("WATCHKEEPER_DATA_DIR") or DEFAULT_DATA_DIR)
    parser.add_argument(
        "--data-dir", type=_folder, default=chosen, action=_Named, help=f"where the data is ({chosen})"
    )


def add_stores(parser: argparse.ArgumentParser, environment: bool = True) -> None:
    """The two addresses of data that is not in the data directory. Without `environment` they must be given: nobody plays a
    demonstration into what they work with because a variable is set."""
    for name, what, like in (
        ("columns", "spans, traces and scores", "clickhouse://user:password@host:8123/database"),
        ("records", "keys, alerts, reviews and jobs", "postgresql://user:password@host/database"),
    ):
        variable = f"WATCHKEEPER_{name.upper()}_URL"
        parser.add_argument(
            f"--{name}",
            metavar="URL",
            default=os.environ.get(variable) if environment else None,
            help=f"where {what} are, such as {like}" + (f"; or in {variable}" if environment else ""),
        )


def running_on(data_dir: Path) -> tuple[str, str] | None:
    """Address and key of the server that holds a data directory now, None when none does."""
    try:
        with open(data_dir / _LOCK, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                known = json.loads((data_dir / _LOCAL).read_text())
                return str(known["url"]), str(known["key"])
            return None
    except (OSError, ValueError, KeyError):
        return None


def server_of(args: argparse.Namespace) -> tuple[str, str] | None:
    """Address and key of the server these arguments mean, an empty key where none is known; None when they mean the data
    directory and no server runs on it, and when they mean nothing. What stands on the command line counts before what the
    environment says, and the key of the environment is that of the server of the environment."""
    # A variable that is set to nothing says nothing; a secret's file often ends in a line break.
    endpoint = os.environ.get("WATCHKEEPER_ENDPOINT", "").strip()
    named, key = (args.server or "").strip(), (args.api_key or "").strip()
    data_dir_named = getattr(args, "data_dir_named", False)
    if named or (endpoint and not data_dir_named):
        return named or endpoint, key
    found = running_on(args.data_dir)
    if found is None:
        return None
    if (
        endpoint
        and endpoint.rstrip("/") != found[0]
        and key == os.environ.get("WATCHKEEPER_API_KEY", "").strip()
    ):
        key = ""
    return found[0], key or found[1]


def as_command(hint: str) -> str:
    """A hint of the API for a command line: lists by their commands, or not at all, fields by their options.

    >>> as_command("GET /api/experiments lists them"), as_command("'duplicates': skip leaves them out")
    ("'watchkeeper experiment list' lists them", '--duplicates skip leaves them out')
    """
    if hint == _FIELDS_DESCRIBED:
        return ""
    place = _PLACE.match(hint)
    if place is not None and place[1] not in _COMMANDS:
        return ""
    told = _PLACE.sub(lambda m: f"'watchkeeper {_COMMANDS[m[1]]}'" if m[1] in _COMMANDS else m[0], hint)
    return _FIELD.sub(lambda m: f"--{m[1].replace('_', '-')} ", told)


@dataclass
class Typed:
    """What stands on a command line. `options` are what its values are called there, by the names they have here."""

    options: Mapping[str, str] = field(default_factory=dict[str, str])
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Typed":
        """The command line that these arguments were read from."""
        parser: argparse.ArgumentParser | None = getattr(args, "parser", None)
        actions = parser._actions if parser is not None else []  # pyright: ignore[reportPrivateUsage]
        # The longest way of writing an option is the one that says what it is.
        called = {a.dest: max(a.option_strings, key=len, default=str(a.metavar or a.dest)) for a in actions}
        return cls(called, vars(args))

    def __call__(self, said: str, places: Mapping[str, str]) -> str:
        """What the API says of a field, told of what was typed, or of the place of it that `places` knows."""
        found = _FAULT.fullmatch(said)
        if found is None:
            return said
        path, words = found[1].removeprefix("settings.").split("."), found[2]
        for end in range(len(path), 0, -1):
            if where := places.get(".".join(path[:end])):
                return ": ".join([where, *([".".join(path[end:])] if path[end:] else []), words])
        name = path[0] if path[0] in self.options else _ALIASES.get(path[0], "")
        if name not in self.options:
            return said
        value = self.values.get(name)
        if isinstance(value, list):
            items = cast(list[Any], value)
            at = path[1] if len(path) > 1 else ""
            value = items[int(at)] if at.isdigit() and int(at) < len(items) else at
        short = "" if value is None or repr(value) in words or len(str(value)) > 60 else f" {value}".rstrip()
        return f"{self.options[name]}{short}: {words}"


def check_data_dir(data_dir: Path) -> None:
    """Raises `CliError` where there is no data: what somebody mistyped must not become a new data directory."""
    if not (data_dir / "records.db").exists():
        raise CliError(
            f"{data_dir} is not a data directory of Watchkeeper; name the one of your server with --data-dir "
            "('watchkeeper serve' makes one)"
        )


def _address(text: str) -> str:
    """The server's address without the slash at its end. Raises `CliError` for what is none."""
    try:
        parts = urllib.parse.urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise CliError(f"--server {text}: write an address such as {DEFAULT_SERVER}")
    return text.rstrip("/")


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `CliError` when it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CliError("the server does not answer like Watchkeeper; check --server") from None


@dataclass
class Client:
    """Calls one server. `hint` says what the API advises in the words of whoever asks; empty for what is nothing to them. `typed` is
    what they wrote, where they wrote a command."""

    server: str
    headers: dict[str, str] = field(default_factory=dict)
    hint: Callable[[str], str] = as_command
    typed: Typed = field(default_factory=Typed)

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Client":
        """The server of these arguments: the one named, else the one running on the data directory, else the default. Raises
        `CliError` where a data directory was named and none runs on it."""
        found = server_of(args)
        if found is None and getattr(args, "data_dir_named", False):
            raise CliError(
                f"no server runs on {args.data_dir}; start one with 'watchkeeper serve --data-dir {args.data_dir}', "
                "or name one with --server"
            )
        server, key = found or (DEFAULT_SERVER, (args.api_key or "").strip())
        headers: dict[str, str] = {}
        if key:
            headers["authorization"] = f"Bearer {key}"
        if args.project:
            headers[PROJECT_HEADER] = args.project
        for name, value in (("WATCHKEEPER_API_KEY", key), ("--project", args.project or "")):
            if not value.isprintable():
                raise CliError(f"{name} holds a character that cannot be sent; write it in one line")
        return cls(_address(server), headers, typed=Typed.of(args))

    def send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request and its answer, whatever its status. Raises `CliError` when nobody answers, or somebody else."""
        sent = {**self.headers, **(headers or {})}
        request = urllib.request.Request(self.server + path, body, sent, method=method)
        try:
            # The address is the user's own; a proxy of the environment must not see its key.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=PATIENCE) as answer:
                self._check(answer.headers)
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            raise self._nobody(error) from None

    def download(self, path: str, take: Callable[[bytes], object]) -> None:
        """Give the answer to a GET to `take`, piece by piece. Raises `CliError`, also when the answer is cut off."""
        request = urllib.request.Request(self.server + path, None, self.headers)
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            answer = opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            raise CliError(self.words(Answer(error.code, error.headers, error.read()))) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._nobody(error) from None
        with answer:
            self._check(answer.headers)
            while piece := self._piece(answer):
                take(piece)

    @staticmethod
    def _piece(answer: http.client.HTTPResponse) -> bytes:
        # Apart from `take`, whose own reader may go as well.
        try:
            piece = answer.read(1 << 18)
            # Read by the piece, http.client says nothing of an answer that ends before its length.
            if piece or not answer.length:
                return piece
            raise http.client.IncompleteRead(b"")
        except (http.client.HTTPException, OSError):
            raise CliError(
                "the server cut the answer off, it is not whole; the server's log says why; narrow it by time"
            ) from None

    def _check(self, headers: Message) -> None:
        """Raises `CliError` where a fine answer is not Watchkeeper's: what another service says must not be read as ours."""
        if MARK not in headers:
            raise CliError(f"what answers at {self.server} is not Watchkeeper; check --server")

    def _nobody(self, error: Exception) -> CliError:
        # urllib wraps what goes wrong before the request has left; bare, a timeout is of an answer that is waited for.
        if isinstance(error, TimeoutError):
            return CliError(
                f"{self.server} did not answer within {PATIENCE // 60} minutes; it may still be at work: ask for less, or again later"
            )
        return CliError(
            f"no Watchkeeper answers at {self.server} ({getattr(error, 'reason', error)}); start one with 'watchkeeper serve', "
            "or name it with --server or --data-dir"
        )

    def call(
        self, method: str, path: str, body: Any = None, places: Mapping[str, str] = MappingProxyType({})
    ) -> Any:
        """The JSON answer. Raises `CliError` with the server's own words; `places` says where parts of the body stand for whoever
        asks."""
        data = None if body is None else json.dumps(body).encode()
        answer = self.send(method, path, data, {"content-type": "application/json"} if data else None)
        if answer.status >= 400:
            raise CliError(self.words(answer, places))
        return answer.json()

    def note_project(self) -> None:
        """Say on standard error that the project somebody named has no record yet, as a misspelt one has none: its answers are empty."""
        named = self.headers.get(PROJECT_HEADER)
        if named is None:
            return
        # Whose project is named is told that there is one.
        answer = replace(self, headers={k: v for k, v in self.headers.items() if k != PROJECT_HEADER}).send(
            "GET", "/api/projects", None
        )
        known: list[str] = answer.json() if answer.status == 200 else [named]
        if named not in known:
            there = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            print(
                f"there is no project {named!r} yet: nothing was ever sent to it; there are {there}",
                file=sys.stderr,
            )

    def text(self, path: str) -> str:
        """The answer to a GET as text. Raises `CliError` with the server's own words."""
        answer = self.send("GET", path, None)
        if answer.status >= 400:
            raise CliError(self.words(answer))
        return answer.body.decode("utf-8", "replace")

    def words(self, answer: Answer, places: Mapping[str, str] = MappingProxyType({})) -> str:
        """What the server said was wrong."""
        try:
            said = json.loads(answer.body)
            text = self.typed(str(said["error"]), places)
            if hint := self.hint(str(said.get("hint") or "")):
                text += "\n  " + "; ".join(self.typed(one, places) for one in hint.split("; "))
        except (ValueError, KeyError, TypeError, AttributeError):
            text = f"{self.server} answered {answer.status}"
            if MARK not in answer.headers:
                text += ", and not as Watchkeeper does; check --server, and what stands before it"
        if answer.status in (401, 403):
            text += "\n  pass a key in WATCHKEEPER_API_KEY, or --data-dir of a server on this machine"
        return text
