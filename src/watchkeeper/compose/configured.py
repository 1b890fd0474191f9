"""What the configuration decides, made anew when it changes: redaction, scoring plans, monitors, routes and channels."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from watchkeeper.config import adapters
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.config.models import Route as RouteConfig
from watchkeeper.dialects import pricing
from watchkeeper.egress.http import Egress
from watchkeeper.egress.smtp import Mailer, SmtpServer
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.model.times import DAY
from watchkeeper.notify import (
    Channel,
    EmailChannel,
    LogChannel,
    OpsgenieChannel,
    PagerDutyChannel,
    SlackChannel,
    TeamsChannel,
    WebhookChannel,
)
from watchkeeper.notify.mail import Picture
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.plan import Plan, make_plan, scoped
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.pipeline.train import scorers_of
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.redaction.apply import Redactor, redact_text
from watchkeeper.redaction.policy import Policy
from watchkeeper.scoring.behaviour import default_behaviours
from watchkeeper.scoring.protocol import BatchScorer, Scorer
from watchkeeper.scoring.sampling import Sampler
from watchkeeper.store.records import trained
from watchkeeper.store.records.engine import Records


def channel_of(route: RouteConfig, egress: Egress, picture: Picture | None = None) -> Channel:
    """The channel a configured route names; `picture` draws the chart of a mail."""
    match route.type:
        case "webhook":
            return WebhookChannel(
                egress,
                route.url.reveal(),
                None if route.secret is None else route.secret.reveal(),
                time.time_ns,
            )
        case "slack":
            return SlackChannel(egress, route.url.reveal())
        case "teams":
            return TeamsChannel(egress, route.url.reveal())
        case "pagerduty":
            return PagerDutyChannel(egress, route.key.reveal())
        case "opsgenie":
            return OpsgenieChannel(egress, route.key.reveal(), *([route.url] if route.url else []))
        case "email":
            password = None if route.password is None else route.password.reveal()
            server = SmtpServer(route.host, route.port, route.user, password, route.tls)
            return EmailChannel(Mailer(egress.policy, server), route.sender, route.to, picture)
        case "log":
            return LogChannel()


@dataclass
class Redaction:
    """Redacts records before anything is stored; replaced whole when the configuration changes."""

    hash_key: str
    redactor: Redactor | None = None
    policy: Policy | None = None

    def use(self, config: Config) -> None:
        spec = adapters.redaction_of(config, self.hash_key)
        self.policy = None if spec is None else Policy(spec)
        self.redactor = None if self.policy is None else Redactor(self.policy)

    def record(self, _project: str, item: RawSpan | LogRecord) -> None:
        if self.redactor is None:
            return
        if isinstance(item, RawSpan):
            self.redactor.span(item)
        else:
            self.redactor.log(item)

    def text(self, text: str) -> str:
        return text if self.policy is None else redact_text(text, self.policy)[0]


@dataclass
class Scoring:
    """The scoring plan of every project, made on first use and again when the configuration changes."""

    holder: ConfigHolder
    salt: str
    plans: dict[str, Plan] = field(default_factory=dict[str, Plan])
    watched: Sequence[BatchScorer] = field(default_factory=default_behaviours)
    trained: Mapping[str, Sequence[BatchScorer]] = field(default_factory=dict[str, Sequence[BatchScorer]])

    def use(self, config: Config) -> None:
        """Build the plan of every project the configuration names; a fault in it raises before the old one is gone."""
        projects = {"default", *self.trained, *(c.project for c in (*config.scorecards, *config.signals))}
        self.plans = {p: self._made(config, p) for p in projects}

    def _made(self, config: Config, project: str) -> Plan:
        cards = [c for c in config.scorecards if c.project == project]
        own = self.trained.get(project, [])
        return make_plan(cards, salt=self.salt, own=own, signals=adapters.signals_of(config, project))

    async def take_trained(self, records: Records) -> None:
        """Run the classifiers that are to run now, in every project."""
        self.trained = scorers_of(await records.read(trained.running))
        self.use(self.holder.current)

    def place(self, trace_id: str) -> float:
        """The trace's sampling hash in [0, 1)."""
        return Sampler([], self.salt).u(trace_id)

    def routed(self, project: str) -> frozenset[str]:
        """The signals whose way the configuration says; no default decides about them."""
        return frozenset(r.scorer for r in self.plan(project).signals)

    def plan(self, project: str) -> Plan:
        if project not in self.plans:
            self.plans[project] = self._made(self.holder.current, project)
        return self.plans[project]

    def scorers(self, project: str) -> list[Scorer]:
        plan = self.plan(project)
        return [*(s.scorer for s in plan.scheduled), *plan.judges.values()]

    def gating(self, project: str) -> list[Scorer]:
        """The scorers as the gate runs them: one made for a signal of one scenario says nothing of other scenarios' cases."""
        scopes = {
            str(metric["name"]): str(card["where"])
            for entry in self.holder.managed
            if entry.project == project
            for card in entry.scorecards
            if card.get("where")
            for metric in card["metrics"]
        }
        return [scoped(s, scopes[s.name]) if s.name in scopes else s for s in self.scorers(project)]

    def behaviours(self, _project: str) -> Sequence[BatchScorer]:
        """What is scored of sessions, once the user's next message is known."""
        return self.watched

    def names(self, project: str) -> list[str]:
        return [*(s.name for s in self.scorers(project)), *(b.name for b in self.watched)]


@dataclass
class Routing:
    """What follows the configuration: monitors, routes and channels."""

    watcher: Watcher
    roller: Roller
    delivery: Delivery
    egress: Egress
    channels: dict[str, Channel]
    picture: Picture | None = None

    def use(self, config: Config) -> None:
        rules = adapters.rules_of(config)
        routes = adapters.routes_of(config)
        self.egress.policy = adapters.egress_of(config)
        made = {r.name: channel_of(r, self.egress, self.picture) for r in config.routes}
        self.channels.clear()
        self.channels.update(made)
        self.watcher.monitors, self.watcher.routes = tuple(rules), routes
        self.watcher.settings = replace(self.watcher.settings, base_url=config.server.public_url or "")
        self.delivery.fallback = routes.page
        self.roller.plan = RollPlan.of(rules)
        self.roller.kept_ns = config.server.retention.traces // DAY * DAY
        pricing.use(adapters.prices_of(config))
