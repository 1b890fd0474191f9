"""What every page shares: project, time range, cohort filters and search, read from the URL and written back to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from watchkeeper.model.series import cohort_parse, cohort_text
from watchkeeper.server.routing import DEFAULT_PROJECT, Call
from watchkeeper.web import humane

RANGES: Final = {
    "1h": ("Last hour", 3_600),
    "6h": ("Last 6 hours", 6 * 3_600),
    "24h": ("Last 24 hours", 86_400),
    "3d": ("Last 3 days", 3 * 86_400),
    "7d": ("Last 7 days", 7 * 86_400),
    "14d": ("Last 14 days", 14 * 86_400),
    "30d": ("Last 30 days", 30 * 86_400),
    "90d": ("Last 90 days", 90 * 86_400),
}
DEFAULT_RANGE: Final = "24h"
# The dimensions a cohort may be cut by; every one is a column of the table `traces`.
DIMENSIONS: Final = (
    "scenario",
    "prompt_name",
    "prompt_version",
    "model",
    "provider",
    "variant",
    "release",
    "service",
    "environment",
    "region",
    "agent_name",
)
BUCKETS: Final = (60, 300, 900, 1_800, 3_600, 3 * 3_600, 6 * 3_600, 86_400)
THEMES: Final = ("auto", "light", "dark")


@dataclass(frozen=True)
class TimeRange:
    """[since_ns, until_ns) and how the user said it; `key` is "" for absolute times."""

    since_ns: int
    until_ns: int
    key: str
    label: str

    @property
    def seconds(self) -> float:
        return (self.until_ns - self.since_ns) / humane.NS

    @property
    def bucket(self) -> int:
        """Seconds of one bar or point: a round figure that gives 40 to 120 of them."""
        for seconds in BUCKETS:
            if self.seconds / seconds <= 120:
                return seconds
        return BUCKETS[-1] * max(1, round(self.seconds / 86_400 / 100))

    def before(self) -> "TimeRange":
        """The range of the same length just before this one."""
        length = self.until_ns - self.since_ns
        return TimeRange(
            self.since_ns - length, self.since_ns, "", f"the {humane.span_of(self.seconds)} before"
        )


@dataclass
class View:
    """One request as pages see it. `problems` are things in the URL that could not be honoured, for the page to say."""

    call: Call
    project: str
    path: str
    params: dict[str, str]
    now_ns: int
    range: TimeRange
    cohort: dict[str, str]
    search: str
    theme: str
    zone: tzinfo
    problems: list[str] = field(default_factory=list[str])

    @property
    def since(self) -> datetime:
        return at(self.range.since_ns)

    @property
    def until(self) -> datetime:
        return at(self.range.until_ns)

    @property
    def offset(self) -> int:
        """How many lines of a list come before this page of it."""
        text = self.params.get("offset", "")
        return int(text) if text.isdecimal() and len(text) < 8 else 0

    @property
    def cohort_text(self) -> str:
        """The canonical cohort: k=v pairs by key, empty for all traffic."""
        return cohort_text(tuple(self.cohort.items()))

    def shared(self) -> dict[str, str]:
        """The parameters every link carries on."""
        kept: dict[str, str] = {}
        if self.project != DEFAULT_PROJECT:
            kept["project"] = self.project
        for name in ("range", "since", "until", "cohort"):
            if self.params.get(name):
                kept[name] = self.params[name]
        return kept

    def url(self, path: str | None = None, **changes: Any) -> str:
        """A link to `path` (this page when None) with the shared parameters; None drops one.

        Links to this page keep its own parameters too, except the page cursor.
        """
        params = (
            self.shared()
            if path is not None
            else {k: v for k, v in self.params.items() if k not in ("before", "after", "offset")}
        )
        if path is None and self.project != DEFAULT_PROJECT:
            params["project"] = self.project
        for name, value in changes.items():
            if value is None or value == "":
                params.pop(name, None)
            else:
                params[name] = str(value)
        target = self.path if path is None else path
        return f"{quote(target, safe='/:@')}?{urlencode(params)}" if params else quote(target, safe="/:@")

    def with_cohort(self, name: str, value: str | None) -> str:
        """This page with one cohort dimension set, or removed when `value` is None."""
        wanted = {k: v for k, v in self.cohort.items() if k != name}
        if value is not None:
            wanted[name] = value
        return self.url(cohort=cohort_text(tuple(wanted.items())))

    def with_range(self, key: str) -> str:
        """This page over another relative range."""
        return self.url(range=key, since=None, until=None)

    def between(self, path: str, since_ns: int, until_ns: int, **changes: Any) -> str:
        """A link to `path` over an absolute range."""
        return self.url(path, range=None, since=humane.iso(since_ns), until=humane.iso(until_ns), **changes)


def at(ns: int) -> datetime:
    """Nanoseconds as an aware datetime, microsecond precision."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=ns // 1000)


def parse_cohort(text: str, problems: list[str]) -> dict[str, str]:
    """The cohort of a canonical string; what is not a known dimension is reported and left out."""
    found: dict[str, str] = {}
    pairs = cohort_parse(text)
    unread = [text] if text and not pairs else []
    for name, value in pairs:
        if name in DIMENSIONS and value:
            found[name] = value
        else:
            unread.append(f"{name}={value}")
    allowed = ", ".join(DIMENSIONS)
    problems += [f"“{u[:80]}” is not a cohort filter. Use one of {allowed}, as name=value." for u in unread]
    return found


def _time(text: str, name: str, problems: list[str]) -> int | None:
    if not text:
        return None
    found = humane.to_ns(text)
    if found is None or not 0 < found < 2**62:
        problems.append(f"{name}={text[:40]} is not a time. Write it as 2026-03-03T14:00:00Z.")
        return None
    return found


def parse_range(
    params: dict[str, str], now_ns: int, default: str, problems: list[str], zone: tzinfo = UTC
) -> TimeRange:
    """The range a URL asks for, named in `zone`; the default, with a problem noted, when it cannot be read."""
    since = _time(params.get("since", ""), "since", problems)
    until = _time(params.get("until", ""), "until", problems)
    if since is not None:
        end = until if until is not None else now_ns
        if since < end:
            label = f"{humane.short_moment(since, zone)} – {humane.short_moment(end, zone)}"
            return TimeRange(since, end, "", label)
        problems.append("The range ends before it starts; showing the default range.")
    key = params.get("range", "") or default
    if key not in RANGES:
        problems.append(f"range={key[:20]} is not known. Use one of {', '.join(RANGES)}.")
        key = default
    label, seconds = RANGES[key]
    # A minute's grain, so that every chart of a page, and the next reload, ask for the same thing.
    end = -(-now_ns // (60 * humane.NS)) * 60 * humane.NS
    return TimeRange(end - seconds * humane.NS, end, key, label)


def _zone(name: str) -> tzinfo:
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def theme_of(cookies: Mapping[str, str]) -> str:
    """The theme a person chose, `auto` where they chose none."""
    theme = cookies.get("wk_theme", "auto")
    return theme if theme in THEMES else "auto"


def view_of(call: Call, default_range: str = DEFAULT_RANGE) -> View:
    """The view a request asks for. Times come from the server's clock, so a demo on simulated time reads right."""
    request = call.request
    params = {k: v for k, v in request.query_params.items() if v != ""}
    problems: list[str] = []
    now = call.services.clock()
    zone = _zone(request.cookies.get("wk_zone", "UTC"))
    return View(
        call=call,
        project=call.project,
        path=request.url.path,
        params=params,
        now_ns=now,
        range=parse_range(params, now, default_range, problems, zone),
        cohort=parse_cohort(params.get("cohort", ""), problems),
        search=params.get("q", "")[:500],
        theme=theme_of(request.cookies),
        zone=zone,
        problems=problems,
    )
