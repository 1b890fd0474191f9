"""What ``init`` was told, completed from the environment."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from watchkeeper.sdk.redaction import Redactor

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
    values = {key: _READ.get(key, _as_it_is)(key, value) for key, value in given.items() if value is not None}
    endpoint = str(
        values.pop("endpoint", None)
        or env.get("WATCHKEEPER_ENDPOINT")
        or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or _server_of(env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""))
        or DEFAULT_ENDPOINT
    )
    if not _is_address(endpoint):
        raise ValueError(
            f"endpoint {endpoint!r} is not a URL like {DEFAULT_ENDPOINT} or https://watchkeeper.example.com"
        )
    split = urlsplit(endpoint)
    if split.query or split.fragment or split.username is not None:
        # Without the address: it may hold a password.
        raise ValueError(
            "endpoint must be an address without ?, # and credentials; the key goes into api_key"
        )
    endpoint = endpoint.rstrip("/").removesuffix("/v1/traces")
    ours = bool(given.get("endpoint") or env.get("WATCHKEEPER_ENDPOINT"))
    signal_url = None if ours else env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if signal_url and not _is_address(signal_url):
        raise ValueError("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not a URL")
    headers: dict[str, str] = {}
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        headers |= _header_values(name, _headers(env.get(name, "")))
    headers |= cast("dict[str, str]", values.pop("headers", {}))
    spool = values.pop("spool_dir", None) or env.get("WATCHKEEPER_SPOOL_DIR") or None
    rate = values.pop("sample_rate", env.get("WATCHKEEPER_SAMPLE_RATE") or None)
    defaults: dict[str, object] = {
        "api_key": _word("WATCHKEEPER_API_KEY", env.get("WATCHKEEPER_API_KEY", "")) or None,
        "project": _project("WATCHKEEPER_PROJECT", env.get("WATCHKEEPER_PROJECT", "")) or None,
        "service": env.get("OTEL_SERVICE_NAME") or None,
        "environment": env.get("WATCHKEEPER_ENVIRONMENT") or None,
        "release": env.get("WATCHKEEPER_RELEASE") or None,
        "hash_users": env.get("WATCHKEEPER_HASH_USERS") or None,
        "timeout": _seconds(env.get("OTEL_EXPORTER_OTLP_TIMEOUT")),
        "certificate": env.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None,
        "enabled": not (_on(env.get("OTEL_SDK_DISABLED")) or _on(env.get("WATCHKEEPER_DISABLED"))),
    }
    merged = {key: value for key, value in defaults.items() if value is not None} | values
    return Settings(
        endpoint=endpoint,
        traces_url=signal_url or f"{endpoint}/v1/traces",
        headers=headers,
        spool_dir=Path(str(spool)).expanduser() if spool else None,
        sample_rate=None if rate is None else _share(rate),
        **merged,  # pyright: ignore[reportArgumentType]  each was read as its own kind above
    )


def _server_of(traces_url: str) -> str | None:
    """Where feedback and scores go when only the address for traces is known."""
    return traces_url if _is_address(traces_url) and traces_url.rstrip("/").endswith("/v1/traces") else None


def _share(value: object) -> float:
    try:
        share = float(str(value))
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"sample_rate must be more than 0 and at most 1, not {value!r}")
    return share


def _is_address(endpoint: str) -> bool:
    try:
        split = urlsplit(endpoint)
        return split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False


def _as_it_is(_name: str, value: object) -> object:
    return value


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, PurePath)):
        raise ValueError(f"{name} must be a text, not {type(value).__name__}")
    return str(value).strip()


def _word(name: str, value: object) -> str:
    """What travels in an HTTP header; keys read from a file often bring its newline along."""
    text = _text(name, value)
    if not text.isprintable() or any(ord(letter) > 255 for letter in text):
        raise ValueError(f"{name} has characters that an HTTP header cannot carry")
    return text


def _project(name: str, value: object) -> str:
    """Names what is stored; a key that was given in its place would be stored with everything."""
    text = _word(name, value)
    if Redactor()(text) != text:
        raise ValueError(f"{name} looks like a key or personal data; a key goes into api_key")
    return text


def _file(name: str, value: object) -> str:
    path = _text(name, value)
    if not Path(path).is_file():
        raise ValueError(f"{name}: there is no file {path!r}")
    return path


def _number(name: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not (0 < number < math.inf):
        raise ValueError(f"{name} must be a number above 0, not {value!r}")
    return number


def _pause(name: str, value: object) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else _number(name, value)


def _count(name: str, value: object) -> int:
    number = _number(name, value)
    if number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    return int(number)


def _switch(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be True or False, not {value!r}")


def _key(name: str, value: object) -> str | bytes:
    if isinstance(value, (str, bytes)) and value:
        return value
    raise ValueError(f"{name} must be the key itself, a text or bytes, not {type(value).__name__}")


def _words(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list of words, not {type(value).__name__}")
    return tuple(str(word) for word in cast("Iterable[object]", value) if word is not None)


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping of names to values, not {type(value).__name__}")
    return {str(key): item for key, item in cast("Mapping[object, object]", value).items()}


def _patterns(name: str, value: object) -> Mapping[str, object]:
    patterns = _mapping(name, value)
    for label, pattern in patterns.items():
        try:
            re.compile(cast("str", pattern))
        except (re.error, TypeError) as error:
            raise ValueError(f"{name}[{label!r}] is not a regular expression: {error}") from None
    return patterns


def _header_values(name: str, value: object) -> dict[str, str]:
    return {_word(name, key): _word(f"{name}[{key!r}]", item) for key, item in _mapping(name, value).items()}


_READ: Final[Mapping[str, Callable[[str, object], object]]] = {
    **dict.fromkeys(("service", "environment", "release"), _text),
    "api_key": _word,
    "project": _project,
    "certificate": _file,
    "timeout": _number,
    **dict.fromkeys(("flush_interval", "exit_timeout"), _pause),
    **dict.fromkeys(
        ("max_text", "max_queue_spans", "max_queue_bytes", "max_batch_spans", "spool_max_bytes"), _count
    ),
    **dict.fromkeys(("redact", "capture_content", "enabled"), _switch),
    "hash_users": _key,
    "names": _words,
    "patterns": _patterns,
    "headers": _header_values,
}


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
    if seconds is None or seconds <= 0:
        return None
    # OpenTelemetry's specification means milliseconds, its Python SDK seconds; nobody waits a quarter of an hour.
    return seconds / 1000 if seconds >= 1000 else seconds
