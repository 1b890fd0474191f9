"""The demo uses the product as a user would: over HTTP."""

import json
import urllib.error
import urllib.request
from typing import Any


class DemoFailed(Exception):
    """The story did not come out as told; the text says where."""


class Api:
    """JSON calls to the demo's own server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer; raises `DemoFailed` with the server's words."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise DemoFailed(f"{method} {path}: {error.code} {error.read().decode()[:400]}") from error

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a read-only query."""
        answer = self.call("POST", "/api/sql", {"query": query})
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
