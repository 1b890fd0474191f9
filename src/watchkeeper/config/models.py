"""The configuration as frozen objects; every field's description is the documentation editors show."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.config.units import Amount, Duration, SecretText, Share, Size

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]{0,99}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\r\n]+$")]
Project = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_\-]{0,62}$")]
Role = Literal["viewer", "reviewer", "editor", "admin"]
MINUTE, DAY = 60 * 10**9, 86_400 * 10**9

COHORT_KEYS = (
    "scenario", "model", "provider", "prompt_name", "prompt_version", "variant", "release", "service",
    "environment", "region", "agent_name",
)  # fmt: skip
SEVERITIES = {
    "page": "page", "critical": "page", "warn": "warn", "warning": "warn", "info": "info", "summary": "info",
}  # fmt: skip


class Strict(BaseModel):
    """A section: unknown keys are refused, values are never silently converted, objects cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Open(BaseModel):
    """A section whose further keys belong to whoever reads it (a scorer's own parameters)."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


class Limits(Strict):
    """What a request may be. Larger bodies get 413."""

    body: Annotated[Size, Field(le=1 << 30)] = Field(
        20 << 20, description="Largest body, also after inflation."
    )
    body_seconds: int = Field(30, ge=1, le=600, description="A body must arrive within this time.")
    connections: int = Field(
        1000, ge=1, le=100_000, description="Open connections; further ones wait or get 503."
    )


class Retention(Strict):
    """How long what is kept. Each must be finite."""

    content: Annotated[Duration, Field(ge=DAY)] = Field(30 * DAY, description="Prompts, outputs, tool data.")
    traces: Annotated[Duration, Field(ge=DAY)] = Field(90 * DAY, description="Spans, traces and scores.")
    aggregates: Annotated[Duration, Field(ge=DAY)] = Field(400 * DAY, description="Series.")


class Server(Strict):
    """How the server is reached."""

    public_url: str | None = Field(
        None, pattern=r"^https?://[^/\s?#]+$", description="Where people open it; used in links and cookies."
    )
    hosts: tuple[Line, ...] = Field(
        (), description="Host names it answers to beside loopback and public_url."
    )
    behind_tls_proxy: bool = Field(
        False, description="A proxy in front ends TLS; needed to bind other addresses."
    )
    limits: Limits = Limits()  # pyright: ignore[reportCallIssue]
    retention: Retention = Retention()  # pyright: ignore[reportCallIssue]


class Pattern(Strict):
    """A pattern of your own to remove, in RE2 syntax."""

    name: Name
    pattern: Line


class Privacy(Strict):
    """What is removed before anything is stored, and who sees the rest."""

    redact: bool = Field(True, description="Remove personal data and secrets before storing.")
    kinds: tuple[Name, ...] | None = Field(None, description="Only these kinds; all when not set.")
    names: tuple[Line, ...] = Field((), description="Names of people to remove.")
    patterns: tuple[Pattern, ...] = Field((), description="Your own patterns to remove.")
    hash_user_ids: bool = Field(True, description="Store user ids as keyed hashes.")
    content_role: Role = Field("viewer", description="The role from which on prompts and outputs are shown.")


class Failure(Strict):
    """One name reviewers may give a failure."""

    name: Name
    definition: Text
    severity: Literal["low", "medium", "high", "critical"] | None = None


class Sample(Strict):
    """Which traces the paid scorers of a scorecard see: the union of these policies, within the budget."""

    rate: Share = Field(0.05, description="Share of all traces, by hash of the trace id.")
    strata: dict[Name, Share] = Field({}, description="Share within every value of a cohort key.")
    always: tuple[Name, ...] = Field((), description="Events that are always scored.")
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

    def spec(self) -> dict[str, Any]:
        """The whole specification as plain data."""
        return self.model_dump()


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
    budget: Annotated[Duration, Field(ge=1_000_000, le=30 * 10**9)] = Field(
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


class Monitor(Strict):
    """One rule with its owner and what to do when it fires."""

    name: Name
    project: Project = "default"
    condition: Text
    window: Annotated[Duration, Field(ge=MINUTE, le=31 * DAY)] = 15 * MINUTE
    by: tuple[Literal[COHORT_KEYS], ...] = ()  # type: ignore[valid-type]
    where: dict[Name, str] = Field({}, description="Only these cohorts, e.g. scenario: support.")
    hold: Annotated[Duration, Field(ge=0)] | None = Field(
        None, description="How long it must last before firing."
    )
    keep_firing: Annotated[Duration, Field(ge=0)] | None = None
    severity: str = "warn"
    owner: Line
    runbook: Line
    response_time: Duration | None = None
    notify: tuple[Line, ...] = ()
    detector: Name | None = None
    min_n: int | None = Field(None, ge=1)
    no_data: Literal["alert", "keep", "ok"] | None = None
    description: Text | None = None
    tests: tuple[MonitorTest, ...] = ()

    @field_validator("severity")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in SEVERITIES:
            raise PydanticCustomError("severity", "must be one of {all}", {"all": ", ".join(SEVERITIES)})
        return SEVERITIES[value]


class WebhookRoute(Strict):
    """A signed JSON message."""

    name: Name
    type: Literal["webhook"]
    url: SecretText
    secret: SecretText | None = Field(None, description="Signs every message.")


class SlackRoute(Strict):
    """A Slack-compatible incoming webhook."""

    name: Name
    type: Literal["slack"]
    url: SecretText


class PagerDutyRoute(Strict):
    """PagerDuty events."""

    name: Name
    type: Literal["pagerduty"]
    key: SecretText


class EmailRoute(Strict):
    """Mail over SMTP."""

    name: Name
    type: Literal["email"]
    to: tuple[Line, ...] = Field(min_length=1)
    sender: Line
    host: Line
    port: int = Field(587, ge=1, le=65535)
    user: Line | None = None
    password: SecretText | None = None
    tls: bool = True


Route = Annotated[WebhookRoute | SlackRoute | PagerDutyRoute | EmailRoute, Field(discriminator="type")]


class Provider(Strict):
    """A model provider judges may ask; a judge's model is `provider:model`."""

    name: Name
    type: Literal["openai", "anthropic"] = Field("openai", description="The dialect it speaks.")
    base_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    api_key: SecretText | None = None
    timeout: Annotated[Duration, Field(ge=10**9, le=600 * 10**9)] = 60 * 10**9
    requests_per_minute: int | None = Field(None, ge=1)


class Egress(Strict):
    """The only addresses beside the public internet that the server itself may call."""

    allow: tuple[Line, ...] = Field((), description="host:port of local models and receivers.")


class Price(Strict):
    """Dollars per million tokens of one model, replacing the built-in price."""

    model: Line
    provider: Line | None = None
    input: Annotated[float, Field(ge=0, strict=False)]
    output: Annotated[float, Field(ge=0, strict=False)]
    cached_input: Annotated[float, Field(ge=0, strict=False)] | None = None
    cache_write: Annotated[float, Field(ge=0, strict=False)] | None = None
    reasoning: Annotated[float, Field(ge=0, strict=False)] | None = None


class Config(Strict):
    """Everything, whatever files it came from."""

    server: Server = Server()  # pyright: ignore[reportCallIssue]
    privacy: Privacy = Privacy()  # pyright: ignore[reportCallIssue]
    taxonomy: tuple[Failure, ...] = ()
    scorecards: tuple[Scorecard, ...] = ()
    guards: tuple[Guard, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    routes: tuple[Route, ...] = ()
    providers: tuple[Provider, ...] = ()
    egress: Egress = Egress()  # pyright: ignore[reportCallIssue]
    price: tuple[Price, ...] = ()


# Sections of the design that this version does not act on: refusing them is kinder than ignoring them.
NOT_AVAILABLE = {
    "signals": "routing of feedback signals",
    "dashboards": "dashboards as code",
    "releases": "release control",
    "budgets": "spending budgets",
}
