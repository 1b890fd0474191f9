"""What ``init`` was told, completed from the environment."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"


@dataclass(frozen=True)
class Settings:
    """Everything that decides how spans leave the process. Sizes are bytes, times are seconds."""

    endpoint: str = DEFAULT_ENDPOINT
    traces_url: str = DEFAULT_ENDPOINT + "/v1/traces"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    api_key: str | None = None
    project: str | None = None
    service: str | None = None
    environment: str | None = None
    release: str | None = None
    redact: bool = True
    names: tuple[str, ...] = ()
    patterns: Mapping[str, str | re.Pattern[str]] = field(default_factory=dict[str, "str | re.Pattern[str]"])
    hash_users: str | bytes | None = None
    capture_content: bool = True
    max_text: int = 1_000_000
    max_span_bytes: int = 4 * 1024 * 1024
    max_queue_spans: int = 8192
    max_queue_bytes: int = 12 * 1024 * 1024
    max_batch_spans: int = 256
    max_batch_bytes: int = 1024 * 1024
    flush_interval: float = 1.0
    timeout: float = 10.0
    exit_timeout: float = 1.5
    certificate: str | None = None
    spool_dir: Path | None = None
    spool_max_bytes: int = 256 * 1024 * 1024
    sample_rate: float | None = None
    enabled: bool = True


def read_settings(given: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """``given`` (arguments that are not None) over ``WATCHKEEPER_*`` over ``OTEL_*`` over the defaults.

    Raises ``ValueError`` naming the argument that cannot be used.
    """
    env = os.environ if environ is None else environ
    values = {key: value for key, value in given.items() if value is not None}
    endpoint = str(
        values.pop("endpoint", None)
        or env.get("WATCHKEEPER_ENDPOINT")
        or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or DEFAULT_ENDPOINT
    )
    split = urlsplit(endpoint)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise ValueError(
            f"endpoint {endpoint!r} is not a URL like {DEFAULT_ENDPOINT} or https://watchkeeper.example.com"
        )
    endpoint = endpoint.rstrip("/").removesuffix("/v1/traces")
    ours = "WATCHKEEPER_ENDPOINT" in env or "endpoint" in given
    signal_url = None if ours else env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    headers = _headers(env.get("OTEL_EXPORTER_OTLP_HEADERS", "")) | _headers(
        env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "")
    )
    given_headers = values.pop("headers", None)
    if isinstance(given_headers, Mapping):
        headers |= {str(key): str(value) for key, value in given_headers.items()}
    spool = values.pop("spool_dir", None) or env.get("WATCHKEEPER_SPOOL_DIR") or None
    rate = values.pop("sample_rate", None) or env.get("WATCHKEEPER_SAMPLE_RATE") or None
    defaults: dict[str, object] = {
        "api_key": env.get("WATCHKEEPER_API_KEY") or None,
        "project": env.get("WATCHKEEPER_PROJECT") or None,
        "service": env.get("OTEL_SERVICE_NAME") or None,
        "environment": env.get("WATCHKEEPER_ENVIRONMENT") or None,
        "release": env.get("WATCHKEEPER_RELEASE") or None,
        "hash_users": env.get("WATCHKEEPER_HASH_USERS") or None,
        "timeout": _seconds(env.get("OTEL_EXPORTER_OTLP_TIMEOUT")),
        "certificate": env.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None,
        "enabled": not (_on(env.get("OTEL_SDK_DISABLED")) or _on(env.get("WATCHKEEPER_DISABLED"))),
    }
    merged = {key: value for key, value in defaults.items() if value is not None} | values
    for listed in ("names",):
        if listed in merged:
            merged[listed] = tuple(str(item) for item in _iterable(merged[listed], listed))
    return Settings(
        endpoint=endpoint,
        traces_url=signal_url or f"{endpoint}/v1/traces",
        headers=headers,
        spool_dir=Path(str(spool)).expanduser() if spool else None,
        sample_rate=None if rate is None else _share(rate),
        **merged,  # pyright: ignore[reportArgumentType]  the caller's own keyword types are checked at init
    )


def _share(value: object) -> float:
    try:
        share = float(str(value))
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"sample_rate must be more than 0 and at most 1, not {value!r}")
    return share


def _iterable(value: object, name: str) -> list[object]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list of words, not {type(value).__name__}")
    return list(cast("Iterable[object]", value))


def _headers(text: str) -> dict[str, str]:
    """``a=b,c=d`` with percent-encoded values, as the OTLP exporter specification defines it."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {key.strip().lower(): unquote(value.strip()) for key, _, value in pairs}


def _on(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "true", "yes", "on")


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value else None
    except ValueError:
        return None
    return seconds if seconds is not None and seconds > 0 else None
