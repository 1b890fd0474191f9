"""The configuration as frozen objects; every field's description is the documentation editors show."""

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.alerting import builtin
from watchkeeper.alerting.monitor import Dimension, SeverityWord
from watchkeeper.alerting.packs import PackName
from watchkeeper.config.base import Line, MetricName, Name, Open, Origin, Project, Strict, Text, Url
from watchkeeper.config.dashboards import Dashboard
from watchkeeper.config.expected import MetricTest
from watchkeeper.config.units import Amount, Duration, SecretText, Share, Size
from watchkeeper.model.action import ActionType
from watchkeeper.model.alert import Severity
from watchkeeper.model.splits import REPLAYS
from watchkeeper.model.times import DAY, MINUTE, SECOND
from watchkeeper.redaction.policy import FieldAction
from watchkeeper.scoring.evidence import SignalAction, When
from watchkeeper.scoring.sampling import ALWAYS

Role = Literal["viewer", "reviewer", "editor", "admin"]
# A low score comes mostly from a judge, who chooses by then what judges see: that is for whoever asks for it.
BY_DEFAULT = tuple(event for event in ALWAYS if event != "low_score")
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Limits(Strict):
    """What a request may be. Larger bodies get 413."""

    body: Annotated[Size, Field(le=1 << 30)] = Field(
        20 << 20, description="Largest body, also after inflation."
    )
    body_seconds: int = Field(30, ge=1, le=600, description="A body must arrive within this time.")
    connections: int = Field(
        1000, ge=1, le=100_000, description="Open connections; further ones wait or get 503."
    )
    per_project: Annotated[Size, Field(ge=1024)] | None = Field(
        None, description="Bytes a second a project may send, over five seconds; beyond it 429."
    )
    reserve: Annotated[Size, Field(ge=1 << 20)] | None = Field(
        None,
        description="Free bytes of the disk below which writes get 503; 256 MiB or 2 % of it unless set.",
    )


class Retention(Strict):
    """How long what is kept. Each must be finite."""

    content: Annotated[Duration, Field(ge=DAY)] = Field(30 * DAY, description="Prompts, outputs, tool data.")
    traces: Annotated[Duration, Field(ge=DAY)] = Field(90 * DAY, description="Spans, traces and scores.")
    aggregates: Annotated[Duration, Field(ge=DAY)] = Field(400 * DAY, description="Series.")


class Server(Strict):
    """How the server is reached."""

    public_url: Origin | None = Field(None, description="Where people open it; used in links and cookies.")
    hosts: tuple[Line, ...] = Field(
        (), description="Host names it answers to beside loopback and public_url."
    )
    behind_tls_proxy: bool = Field(
        False, description="A proxy in front ends TLS; needed to bind other addresses."
    )
    limits: Limits = Limits()  # pyright: ignore[reportCallIssue]
    retention: Retention = Retention()  # pyright: ignore[reportCallIssue]


class Keep(Strict):
    """Of which traces only a share is stored. It is decided when a trace is complete and checked; the probability is stored. A
    user's word keeps a trace also later, within `wait`."""

    routine: Annotated[Share, Field(ge=0.001)] = Field(
        1.0, description="Share of the traces without a reason in always."
    )
    always: tuple[Literal["error", "slow", "low_score", "flagged"], ...] = Field(
        ("error", "slow", "low_score", "flagged"), description="What keeps a trace whatever the draw."
    )
    slow: Annotated[Duration, Field(ge=10**6)] = Field(10 * SECOND, description="From when a trace is slow.")
    wait: Annotated[Duration, Field(ge=0, le=2 * DAY)] = Field(
        10 * MINUTE, description="How long after the draw a user's word still keeps a trace."
    )


class Storage(Strict):
    """What is kept of what came in."""

    keep: Keep | None = Field(None, description="Storage sampling; everything is kept when not set.")


class Pattern(Strict):
    """A pattern of your own to remove, in RE2 syntax; what it finds becomes `[LABEL]`."""

    label: Name
    pattern: Line


class Privacy(Strict):
    """What is removed before anything is stored, and who sees the rest."""

    redact: bool = Field(True, description="Remove personal data and secrets before storing.")
    kinds: tuple[Name, ...] | None = Field(None, description="Only these kinds; all when not set.")
    names: tuple[Line, ...] = Field((), description="Names of people to remove.")
    patterns: tuple[Pattern, ...] = Field((), description="Your own patterns to remove.")
    user_ids: Literal["keep", "hash", "drop"] = Field(
        "keep", description="Keep user ids, store keyed hashes of them, or nothing."
    )
    fields: dict[Line, FieldAction] = Field(
        {}, description="Attribute name, or a beginning and *, to what becomes of its value."
    )
    content_role: Role = Field("viewer", description="The role from which on prompts and outputs are shown.")


class Failure(Strict):
    """One name reviewers may give a failure."""

    name: Name
    definition: Text
    severity: Literal["low", "medium", "high", "critical"] | None = None


class Review(Strict):
    """How people review."""

    reviewers_per_item: int = Field(
        1, ge=1, le=5, description="Blind reviewers an item gets before it is decided."
    )
    sources: dict[Name, Annotated[int, Field(ge=1, le=5)]] = Field(
        {}, description="The same for one reason, e.g. {calibration: 2}."
    )
    reservation: Annotated[Duration, Field(ge=MINUTE, le=DAY)] = Field(
        15 * MINUTE, description="How long an opened item is kept for whoever opened it."
    )
    sample: Share = Field(
        0.0,
        description="Share of all traces reviewed at random, with known probability, whatever their scores.",
    )
    triage: Literal[Day, "never"] = Field(
        "friday", description="On which day (UTC) the week's worst traces are put together."
    )
    triage_size: int = Field(30, ge=1, le=200, description="How many traces that are.")


class Sample(Strict):
    """Which traces the paid scorers of a scorecard see: the union of these policies, within the budget."""

    rate: Share = Field(0.05, description="Share of all traces, by hash of the trace id.")
    strata: dict[Line, Share | dict[Line, Share]] = Field(
        {}, description="Share within every value of a cohort key, or by value: {model: {gpt-5: 10%}}."
    )
    always: tuple[Name, ...] = Field(BY_DEFAULT, description="Events that are always scored.")
    budget: Amount | None = Field(None, description="Most that may be spent, e.g. 20 USD/day.")

    @field_validator("budget")
    @classmethod
    def _is_a_rate(cls, value: Any) -> Any:
        if value is not None and value.per is None:
            raise PydanticCustomError("budget", "a sampling budget needs a period: 20 USD/day")
        return value


class Metric(Open):
    """One scorer: its name, its type, and the type's own parameters."""

    name: Name
    type: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    description: Text | None = None
    tests: tuple[MetricTest, ...] = ()

    def spec(self) -> dict[str, Any]:
        """What `scoring.registry.build` needs, as plain data."""
        return self.model_dump(exclude={"description", "tests"})


class Scorecard(Strict):
    """Scorers that belong together, and the traces they are for."""

    name: Name
    project: Project = "default"
    where: Text | None = Field(
        None, description="Condition over the columns of a trace; all traces when not set."
    )
    sample: Sample = Sample()  # pyright: ignore[reportCallIssue]
    metrics: tuple[Metric, ...] = Field(min_length=1)


class Guard(Strict):
    """Checks that run before or after a model call and may redact or block."""

    name: Name
    project: Project = "default"
    input: tuple[Metric, ...] = Field((), description="Checks on the input.")
    output: tuple[Metric, ...] = Field((), description="Checks on the output.")
    action: Literal["block", "redact"] = "block"
    budget: Annotated[Duration, Field(ge=1_000_000, le=30 * SECOND)] = Field(
        50_000_000, description="Time it may take."
    )
    fail: Literal["open", "closed"] = Field("open", description="What a late or broken check means.")
    shadow: bool = Field(False, description="Only record what it would have done.")

    @model_validator(mode="after")
    def _checks_something(self) -> "Guard":
        if not self.input and not self.output:
            raise PydanticCustomError("guard", "a guard needs at least one check under input or output")
        return self


class MonitorTest(Strict):
    """A series such as `8.2 x20, 6.5 x10` and what must come of it."""

    series: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    expect: dict[str, Any] = Field(min_length=1)
    name: Line | None = None
    n: int | None = Field(None, ge=1, description="Scores behind each point; 100 when not set.")


class MonitorAction(Strict):
    """Something to do when the monitor's alert fires or resolves; done once for one alert."""

    type: ActionType
    name: Name | None = Field(None, description="How it is called; its type when not set.")
    when: Literal["firing", "resolved"] = "firing"
    automatic: bool = Field(
        True, description="Done by itself; otherwise only when somebody presses the button."
    )
    dry_run: bool = Field(False, description="Only say what would be done.")
    revert: bool = Field(False, description="Take it back when the alert resolves.")
    route: Line | None = Field(None, description="webhook: the webhook route that is told.")
    count: int | None = Field(
        None, ge=1, le=200, description="open_reviews: how many of the worst traces (20)."
    )
    scorer: Name | None = Field(None, description="pause: a judge.")
    scorecard: Name | None = Field(None, description="pause: a whole scorecard's judges.")
    version: Line | None = Field(None, description="mark_release: which; the alert's own when not set.")

    @model_validator(mode="after")
    def _has_its_own(self) -> "MonitorAction":
        wanted: dict[str, tuple[str, ...]] = {"webhook": ("route",), "pause": ("scorer", "scorecard")}
        own = wanted.get(self.type, ())
        if own and sum(getattr(self, k) is not None for k in own) != 1:
            raise PydanticCustomError(
                "action", "{type} needs {keys}", {"type": self.type, "keys": " or ".join(own)}
            )
        allowed = {*own, *({"open_reviews": ("count",), "mark_release": ("version",)}.get(self.type, ()))}
        for key in ("route", "count", "scorer", "scorecard", "version"):
            if key not in allowed and getattr(self, key) is not None:
                raise PydanticCustomError(
                    "action", "{key} is not for {type}", {"key": key, "type": self.type}
                )
        return self

    def params(self) -> dict[str, Any]:
        """The lever's own settings."""
        found = {k: getattr(self, k) for k in ("route", "count", "scorer", "scorecard", "version")}
        return {k: v for k, v in found.items() if v is not None}


class Monitor(Strict):
    """One rule with its owner and what to do when it fires."""

    name: Name
    project: Project = "default"
    condition: Text
    window: Annotated[Duration, Field(ge=MINUTE, le=31 * DAY)] = 15 * MINUTE
    by: tuple[Dimension, ...] = ()
    where: dict[Name, str] = Field({}, description="Only these cohorts, e.g. scenario: support.")
    hold: Annotated[Duration, Field(ge=0)] | None = Field(
        None, description="How long it must last before firing."
    )
    keep_firing: Annotated[Duration, Field(ge=0)] | None = Field(
        None, description="How long it must be clear before it is resolved."
    )
    renotify: Annotated[Duration, Field(ge=MINUTE)] | None = Field(
        None, description="How often to remind while nobody has acknowledged it."
    )
    severity: SeverityWord = "warn"
    owner: Line
    runbook: Line
    response_time: Duration | None = None
    notify: tuple[Line, ...] = ()
    min_n: int | None = Field(None, ge=1, description="Fewer scores than this say nothing.")
    no_data: Literal["alert", "keep", "ok"] | None = Field(
        None, description="What silence means: a state (keep), also a message (alert), or nothing (ok)."
    )
    description: Text | None = None
    actions: tuple[MonitorAction, ...] = ()
    tests: tuple[MonitorTest, ...] = ()


class Objective(Strict):
    """A promise about a score over weeks; three monitors watch how fast its error budget is spent."""

    name: Name
    project: Project = "default"
    good: Text = Field(description="A 0/1 metric (1 = good), or what is good: `answer_relevance >= 7`.")
    target: Annotated[Share, Field(gt=0, lt=1)] = Field(description="The share of good ones promised: 95%.")
    period: Annotated[Duration, Field(ge=DAY, le=92 * DAY)] = Field(28 * DAY, description="Over how long.")
    by: tuple[Dimension, ...] = ()
    where: dict[Name, str] = Field({}, description="Only these cohorts, e.g. scenario: support.")
    owner: Line
    runbook: Line
    response_time: Duration | None = None
    notify: tuple[Line, ...] = ()
    description: Text | None = None


class EnabledPack(Strict):
    """A set of ready-made monitors, with whoever answers for them."""

    name: PackName
    project: Project = "default"
    owner: Line
    runbook: Line
    by: tuple[Dimension, ...] = ()
    notify: tuple[Line, ...] = ()
    without: tuple[Name, ...] = Field((), description="Monitors of the pack to leave out, by name.")


class Channel(Strict):
    """What every route has."""

    name: Line
    default_for: tuple[Severity, ...] = Field((), description="Severities of monitors that name no route.")
    escalation: bool = Field(False, description="Also told of pages nobody acknowledged in time.")


class WebhookRoute(Channel):
    """A signed JSON message."""

    type: Literal["webhook"]
    url: SecretText
    secret: SecretText | None = Field(None, description="Signs every message.")


class SlackRoute(Channel):
    """A Slack-compatible incoming webhook."""

    type: Literal["slack"]
    url: SecretText


class TeamsRoute(Channel):
    """A Microsoft Teams workflow."""

    type: Literal["teams"]
    url: SecretText


class PagerDutyRoute(Channel):
    """PagerDuty events; `key` is a service's integration key."""

    type: Literal["pagerduty"]
    key: SecretText


class OpsgenieRoute(Channel):
    """Opsgenie alerts; `url` for the EU instance."""

    type: Literal["opsgenie"]
    key: SecretText
    url: Url | None = None


class EmailRoute(Channel):
    """Mail over SMTP."""

    type: Literal["email"]
    to: tuple[Line, ...] = Field(min_length=1)
    sender: Line
    host: Line
    port: int = Field(587, ge=1, le=65535)
    user: Line | None = None
    password: SecretText | None = None
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted."
    )


class LogRoute(Channel):
    """One line in the server's own log."""

    type: Literal["log"]


Route = Annotated[
    WebhookRoute | SlackRoute | TeamsRoute | PagerDutyRoute | OpsgenieRoute | EmailRoute | LogRoute,
    Field(discriminator="type"),
]


class Heartbeat(Strict):
    """A message at an interval, so that silence is noticed: the receiver raises the alarm when it stops."""

    route: Line
    every: Annotated[Duration, Field(ge=10 * SECOND, le=DAY)] = 5 * MINUTE


class Weekly(Strict):
    """The weekly summary: when, and to whom."""

    route: Line | None = Field(None, description="The route; those with default_for: [info] when not set.")
    day: Day = "monday"
    hour: int = Field(8, ge=0, le=23)
    time_zone: Annotated[str, StringConstraints(max_length=60)] = Field(
        "UTC", description="As Europe/Berlin."
    )

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise PydanticCustomError("time_zone", "must be the name of a time zone, such as Europe/Berlin")
        return value


class SelfMonitoring(Strict):
    """The built-in monitors of Watchkeeper itself."""

    enabled: bool = True
    owner: Line = "operator"
    runbook: Line = "docs/alerts.md#watching-itself"
    notify: tuple[Line, ...] = Field((), description="Routes; those of the severity when not set.")
    off: tuple[builtin.Name, ...] = Field((), description="Built-in monitors to leave out.")
    ingest_lag: Annotated[Duration, Field(ge=SECOND)] | None = Field(None, description="2m when not set.")
    scoring_lag: Annotated[Duration, Field(ge=SECOND)] | None = Field(None, description="30m when not set.")
    drops: Share | None = Field(None, description="Any drop when not set.")
    judge_errors: Share | None = Field(None, description="20% when not set.")
    disk: Share | None = Field(None, description="Free part; 10% when not set.")
    coverage: Share | None = Field(None, description="20% when not set.")
    coverage_gap: Share | None = Field(None, description="1% when not set.")


class Provider(Strict):
    """A model provider judges may ask; a judge's model is `provider:model`."""

    name: Name
    protocol: Literal["openai", "anthropic", "fake"] = Field("openai", description="The API it speaks.")
    base_url: Url | None = None
    key_env: Name | None = Field(None, description="Environment variable that holds its API key.")
    timeout: Annotated[Duration, Field(ge=SECOND, le=600 * SECOND)] = MINUTE
    concurrency: int = Field(16, ge=1, le=1000)
    rate: Annotated[float, Field(gt=0, strict=False)] | None = Field(None, description="Most calls a second.")
    structured: Literal["schema", "object", "none"] = Field("schema", description="How it is asked for JSON.")


class Signal(Strict):
    """What becomes of one signal: a user's word, something users did, or an external score."""

    signal: MetricName = Field(
        description="The score's name: thumbs_down, user_rating, correction, frustration, escalated, …"
    )
    name: Name | None = Field(
        None, description="Names this way when a signal has several; the signal's name by default."
    )
    project: Project = "default"
    when: When | None = Field(
        None, description="Which scores of that name: failed (also events that happened), passed, or any."
    )
    below: Annotated[float, Field(strict=False)] | None = Field(None, description="Only values under this.")
    above: Annotated[float, Field(strict=False)] | None = Field(None, description="Only values over this.")
    do: tuple[SignalAction, ...] = Field(
        min_length=1,
        description="review_now: first in the review queue; review: later in it; judge: the project's judges see it; golden: a"
        " case of a dataset; baseline: only counted in its series.",
    )
    share: Share = Field(1.0, description="Share of the traces with this signal that the judges see.")
    dataset: Name = Field("golden", description="The dataset that golden adds to.")

    @model_validator(mode="after")
    def _one_way(self) -> "Signal":
        if "baseline" in self.do and len(self.do) > 1:
            raise PydanticCustomError(
                "signal", "baseline means that nothing else happens; leave it out or alone"
            )
        if "judge" in self.do and self.share <= 0:
            raise PydanticCustomError("signal", "share must be above 0; leave judge out to judge none")
        if "golden" in self.do and self.dataset == REPLAYS:
            raise PydanticCustomError(
                "signal", f"every replay makes the dataset {REPLAYS} anew; name another"
            )
        return self


class Egress(Strict):
    """The only addresses beside the public internet that the server itself may call."""

    allow: tuple[Line, ...] = Field((), description="host:port of local models and receivers.")


Rate = Annotated[float, Field(ge=0, strict=False)]


class Price(Strict):
    """Dollars per million tokens of one model, replacing the built-in price."""

    provider: Line
    model: Line
    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    request: Rate | None = Field(None, description="Dollars for a request.")


class Forward(Strict):
    """Another OTLP backend that gets what is stored here, after redaction."""

    name: Name
    endpoint: Url = Field(description="Its address without /v1/traces.")
    headers: dict[Line, SecretText] = Field({}, description="Sent with every request, such as its key.")
    signals: tuple[Literal["traces", "logs", "scores", "checks"], ...] = Field(
        ("traces", "scores"), min_length=1, description="Scores go as gen_ai.evaluation.result log events."
    )
    projects: tuple[Project, ...] = Field((), description="Only these; all when not set.")
    where: str | None = Field(
        None, min_length=1, description="Only of traces that meet this condition, as scorecards write it."
    )
    start: Literal["now", "beginning"] = Field("now", description="Where a new target begins.")
    timeout: Annotated[Duration, Field(ge=SECOND, le=300 * SECOND)] = 30 * SECOND


class Config(Strict):
    """Everything, whatever files it came from."""

    server: Server = Server()  # pyright: ignore[reportCallIssue]
    privacy: Privacy = Privacy()  # pyright: ignore[reportCallIssue]
    storage: Storage = Storage()  # pyright: ignore[reportCallIssue]
    taxonomy: tuple[Failure, ...] = ()
    review: Review = Review()  # pyright: ignore[reportCallIssue]
    scorecards: tuple[Scorecard, ...] = ()
    guards: tuple[Guard, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    objectives: tuple[Objective, ...] = ()
    packs: tuple[EnabledPack, ...] = ()
    routes: tuple[Route, ...] = ()
    providers: tuple[Provider, ...] = ()
    egress: Egress = Egress()  # pyright: ignore[reportCallIssue]
    forward: tuple[Forward, ...] = ()
    heartbeat: Heartbeat | None = None
    weekly: Weekly | None = None
    self_monitoring: SelfMonitoring = SelfMonitoring()  # pyright: ignore[reportCallIssue]
    price: tuple[Price, ...] = ()
    signals: tuple[Signal, ...] = ()
    dashboards: tuple[Dashboard, ...] = ()


# Sections of the design that this version does not act on: refusing them is kinder than ignoring them.
NOT_AVAILABLE = {
    "releases": "release control",
    "budgets": "spending budgets",
}
