"""Targets that answer one case a call: Python functions and HTTP endpoints."""

import asyncio
import contextlib
import http.client
import importlib
import inspect
import json
import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from typing import Any, NoReturn

from watchkeeper.model.times import wished_s
from watchkeeper.testing.targets.answers import Case, TargetError, Transient, text_of

ALLOWED = (
    "A target is 'module:function', 'command: …', an http(s) URL, 'prompt:file.txt' or 'outputs:file.jsonl'."
)
LONGEST = 32 << 20


@contextlib.contextmanager
def outliving() -> Generator[None]:
    """Meanwhile `os._exit` of a target ends its answer, not this process: with the status that the target likes, a gate would
    have passed with 0."""
    own, leave = os.getpid(), os._exit

    def refused(status: int) -> NoReturn:
        if os.getpid() != own:
            leave(status)  # a process that the target has forked
        raise SystemExit(f"os._exit({status})")

    os._exit = refused
    try:
        yield
    finally:
        os._exit = leave


def load_function(spec: str) -> Callable[..., Any]:
    """The function named by `module:function`, with the current folder importable. Raises `TargetError`."""
    module_name, colon, attribute = spec.partition(":")
    if not colon or not module_name or not attribute:
        raise TargetError(f"target {spec!r} names no function. {ALLOWED}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
        for piece in attribute.split("."):
            found = getattr(found, piece)
    except (ImportError, AttributeError) as error:
        raise TargetError(f"target {spec}: {error}. {ALLOWED}") from error
    # The module is the user's code: whatever it raises when it is imported is what is wrong with the target.
    except (Exception, SystemExit) as error:
        raise TargetError(f"target {spec}: importing it raised {type(error).__name__}: {error}") from error
    if not callable(found):
        raise TargetError(f"target {spec} is a {type(found).__name__}, not a function")
    return found


async def in_thread(function: Callable[..., Any], argument: Any) -> Any:
    """The function's result from a thread of its own.

    Not the loop's pool: a target that hangs would hold one of its few threads, and the interpreter could not end.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not result.done():
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

    def work() -> None:
        try:
            told: tuple[Any, BaseException | None] = function(argument), None
        # Whatever the user's code raises is handed to the caller, which makes it this case's failed answer.
        except BaseException as error:  # noqa: BLE001
            told = None, error if isinstance(error, Exception) else RuntimeError(repr(error))
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=work, name="watchkeeper-target", daemon=True).start()
    return await result


def caller(function: Callable[..., Any]) -> Callable[[Case], Any]:
    """A coroutine function of a case: the whole case where the function has a parameter `case`, else the input's text."""
    try:
        whole = "case" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature; they get the text
        whole = False
    asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )

    async def ask(case: Case) -> Any:
        argument = case if whole else text_of(case)
        try:
            returned = await (function(argument) if asynchronous else in_thread(function, argument))
            return await returned if inspect.isawaitable(returned) else returned
        except SystemExit as error:
            raise RuntimeError(repr(error)) from None

    return ask


def post(url: str, body: Any, headers: dict[str, str], timeout: float) -> tuple[Any, bool]:
    """POST JSON; the answer parsed where it says it is JSON, else its text, and whether it was JSON.

    Raises `Transient` for what may pass (408, 425, 429, 5xx, a cut connection) and RuntimeError for every other status.
    """
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            raw = answer.read(LONGEST + 1)
            # Read by the piece, http.client says nothing of an answer that ends before its length.
            if answer.length and len(raw) <= LONGEST:
                raise Transient(f"the answer was cut off after {len(raw)} bytes")
            is_json = "json" in (answer.headers.get("content-type") or "")
    except urllib.error.HTTPError as error:
        words = f"HTTP {error.code} {error.read(300).decode('utf-8', 'replace')}".strip()
        if error.code in (408, 425, 429) or error.code >= 500:
            raise Transient(words, wished_s(error.headers.items())) from None
        raise RuntimeError(words) from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise Transient(f"no answer: {getattr(error, 'reason', error)}") from None
    if len(raw) > LONGEST:
        raise RuntimeError(f"the answer is longer than {LONGEST} bytes")
    text = raw.decode("utf-8", "replace")
    if not is_json:
        return text, False
    try:
        return json.loads(text), True
    except ValueError as error:
        raise RuntimeError(f"the answer says it is JSON and is not: {error}") from None


def _told(text: str) -> Any:
    """The object with `output` that a text is, as frameworks send it that call everything HTML; else the text."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(text)
            return found if "output" in found else text
    return text


def endpoint(url: str, timeout: float) -> Callable[[Case], Any]:
    """A function of a case that POSTs it as JSON and returns the JSON (or text) answer."""

    def ask(case: Case) -> Any:
        answer, is_json = post(url, {**case, "text": text_of(case)}, {}, timeout)
        return answer if is_json else _told(answer)

    return ask
