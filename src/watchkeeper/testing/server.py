"""A server as a judge: the few calls a test session makes. Standard library only."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class JudgeError(Exception):
    """Nothing can be judged: no server, no such dataset, a missing package. The text says what to do."""


class Server:
    """JSON over HTTP with the user's key."""

    def __init__(self, address: str, api_key: str | None = None, project: str | None = None) -> None:
        self.address = address.rstrip("/")
        self.headers = {"content-type": "application/json", "accept": "application/json"}
        if api_key := (api_key or "").strip():
            self.headers["authorization"] = f"Bearer {api_key}"
        if project:
            self.headers["x-watchkeeper-project"] = project

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer. Raises `JudgeError` with the server's own words."""
        data = None if body is None else json.dumps(body, default=str).encode()
        request = urllib.request.Request(self.address + path, data, self.headers, method=method)
        # The address is the user's own; a proxy of the environment must not see its key.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=600) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise JudgeError(self._words(error)) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise JudgeError(
                f"no Watchkeeper answers at {self.address} ({reason}); start one, or name a .jsonl file as the dataset"
            ) from None
        except ValueError:
            raise JudgeError(f"{self.address} does not answer like Watchkeeper") from None

    def _words(self, error: urllib.error.HTTPError) -> str:
        try:
            said = json.loads(error.read())
            words = f"{said['error']}. {said.get('hint') or ''}".strip()
        except (ValueError, KeyError, TypeError):
            words = f"{self.address} answered {error.code}"
        if error.code in (401, 403):
            words += " (set WATCHKEEPER_API_KEY; the key needs the role editor)"
        return words


def path_of(text: str) -> str:
    """Text as one segment of an address."""
    return urllib.parse.quote(text, safe="")
