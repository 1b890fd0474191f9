"""Files of the package as answers: known types only, never outside their folder, cached by content."""

import hashlib
from functools import lru_cache
from pathlib import Path

from watchkeeper.server.routing import HttpError, Request, Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".wasm": "application/wasm",
}


@lru_cache(maxsize=512)
def _read(path: Path, _changed: int) -> tuple[bytes, str]:
    data = path.read_bytes()
    return data, hashlib.sha256(data).hexdigest()[:20]


def static_file(request: Request, folder: Path, name: str, kept: bool = False) -> Response:
    """The file `name` below `folder`, to be `kept` by browsers where its address never changes its content.
    Raises `HttpError` 404 for anything that is not a plain file of a known type."""
    missing = HttpError(404, f"there is no file {name[:100]!r}", "")
    if "\x00" in name or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise missing
    path = folder / name
    kind = TYPES.get(path.suffix)
    if kind is None or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise missing
    data, tag = _read(path, path.stat().st_mtime_ns)
    headers = {"content-type": kind, "etag": f'"{tag}"', "cache-control": "no-cache"}
    if kept:
        headers["cache-control"] = "public, max-age=31536000, immutable"
    if request.headers.get("if-none-match") == f'"{tag}"':
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers)
