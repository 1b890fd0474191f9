"""From configuration objects to the rules' own types. Whatever a rule refuses it refuses here, at `check`."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from watchkeeper.alerting.builtin import BuiltIn
from watchkeeper.alerting.builtin import rules as built_in
from watchkeeper.alerting.monitor import SEVERITIES, Test
from watchkeeper.alerting.monitor import Monitor as Rule
from watchkeeper.alerting.objectives import Objective as Promise
from watchkeeper.alerting.packs import PACKS
from watchkeeper.alerting.routing import Routes
from watchkeeper.config.models import Config, EnabledPack, Monitor, Objective, Sample
from watchkeeper.config.problems import did_you_mean, shown
from watchkeeper.dialects import pricing
from watchkeeper.egress.policy import Policy as EgressPolicy
from watchkeeper.llm.table import DEFAULTS, Settings
from watchkeeper.model.action import ActionSpec
from watchkeeper.model.series import cohort_of
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.forward import Target
from watchkeeper.pipeline.reporting import Setting, Weekly
from watchkeeper.redaction.policy import CustomPattern, PolicySpec
from watchkeeper.scoring.evidence import ALIASES, SignalRoute
from watchkeeper.scoring.keeping import Keeping
from watchkeeper.scoring.sampling import Policy, policies_of


def rule_of(monitor: Monitor) -> Rule:
    """One monitor as the watcher runs it. Raises `alerting.monitor.MonitorError`."""
    given: dict[str, Any] = {
        "hold": monitor.hold,
        "keep_firing": monitor.keep_firing,
        "renotify": monitor.renotify,
        "min_n": monitor.min_n,
        "no_data": monitor.no_data,
    }
    return Rule(
        name=monitor.name,
        condition=monitor.condition,
        owner=monitor.owner,
        runbook=monitor.runbook,
        project=monitor.project,
        window=monitor.window,
        by=tuple(monitor.by),
        where=cohort_of(monitor.where),
        severity=SEVERITIES[monitor.severity],
        routes=monitor.notify,
        response_time=monitor.response_time,
        description=monitor.description or "",
        tests=tuple(Test(t.series, t.expect, t.name or "", t.n or 100) for t in monitor.tests),
        **{k: v for k, v in given.items() if v is not None},
    )


def objective_of(objective: Objective) -> Promise:
    """One objective as the watcher understands it. Raises `alerting.monitor.MonitorError`."""
    return Promise(
        objective.name,
        objective.good,
        objective.target,
        objective.owner,
        objective.runbook,
        objective.project,
        objective.period,
        tuple(objective.by),
        cohort_of(objective.where),
        objective.notify,
        objective.response_time,
        objective.description or "",
    )


def pack_of(pack: EnabledPack) -> list[Rule]:
    """The monitors of an enabled pack."""
    made = PACKS[pack.name].monitors(pack.owner, pack.runbook, tuple(pack.by), pack.notify, pack.project)
    return [m for m in made if m.name not in pack.without]


def rules_of(config: Config) -> list[Rule]:
    """Every monitor: those written out, those of packs, and those that watch objectives."""
    written = [rule_of(m) for m in config.monitors]
    packed = [m for p in config.packs for m in pack_of(p)]
    promised = [m for o in config.objectives for m in objective_of(o).monitors()]
    return [*written, *packed, *promised]


def routes_of(config: Config) -> Routes:
    """The routes of monitors that name none, by severity, and of escalation."""
    named = {s: tuple(r.name for r in config.routes if s in r.default_for) for s in ("page", "warn", "info")}
    return Routes(**named, escalation=tuple(r.name for r in config.routes if r.escalation))


def actions_of(config: Config) -> dict[tuple[str, str], tuple[ActionSpec, ...]]:
    """What each monitor, by project and name, wants done about its alerts."""
    return {
        (m.project, m.name): tuple(
            ActionSpec(a.name or a.type, a.type, a.when, a.automatic, a.dry_run, a.revert, a.params())
            for a in m.actions
        )
        for m in config.monitors
        if m.actions
    }


def weekly_of(config: Config) -> Weekly | None:
    """When the weekly summary goes where: to its route, else to those for info; None where nobody asked for it and no route
    takes info."""
    routes = routes_of(config).info
    given = config.weekly
    if given is None:
        return Weekly(routes) if routes else None
    return Weekly((given.route,) if given.route else routes, given.day, given.hour, given.time_zone)


def setting_of(config: Config, project: str) -> Setting:
    """What a project's reports say of its configuration."""
    kept, privacy = config.server.retention, config.privacy
    kinds = "all kinds" if privacy.kinds is None else ", ".join(privacy.kinds)
    days = {"content": kept.content, "traces": kept.traces, "aggregates": kept.aggregates}
    return Setting(
        [m for m in rules_of(config) if m.project == project],
        1.0,
        [r.monitor for r in built_in_of(config)],
        [g.name for g in config.guards if g.project == project],
        f"{kinds} of personal data and secrets are replaced before storing" if privacy.redact else "",
        ", ".join(f"{name} {ns // DAY} days" for name, ns in days.items()),
    )


def built_in_of(config: Config) -> tuple[BuiltIn, ...]:
    """The monitors of Watchkeeper itself that are in force."""
    own = config.self_monitoring
    if not own.enabled:
        return ()
    seconds = {"ingest-lag": own.ingest_lag, "scoring-lag": own.scoring_lag}
    shares = {
        "drops": own.drops,
        "judge-errors": own.judge_errors,
        "disk": own.disk,
        "coverage": own.coverage,
        "coverage-gap": own.coverage_gap,
    }
    limits = {k: v / 1e9 for k, v in seconds.items() if v is not None}
    return built_in(own.off, limits | {k: v for k, v in shares.items() if v is not None})


def redaction_of(config: Config, key: str) -> PolicySpec | None:
    """What is removed before storing, None when redaction is off; `key` is the install's own, for keyed hashes."""
    privacy = config.privacy
    if not privacy.redact:
        return None
    chosen: dict[str, Any] = {} if privacy.kinds is None else {"kinds": privacy.kinds}
    return PolicySpec(
        names=privacy.names,
        patterns=tuple(CustomPattern(p.label, p.pattern) for p in privacy.patterns),
        user_ids=privacy.user_ids,
        key=key,
        fields=dict(privacy.fields),
        **chosen,
    )


def keeping_of(config: Config) -> Keeping | None:
    """The rule of storage sampling, None where everything is kept."""
    rule = config.storage.keep
    return None if rule is None else Keeping(rule.routine, frozenset(rule.always), rule.slow / 1e6, rule.wait)


def egress_of(config: Config) -> EgressPolicy:
    """Where the server may connect. Raises ValueError."""
    return EgressPolicy.of(*config.egress.allow)


def forward_of(config: Config) -> list[Target]:
    """Where else what is stored goes."""
    return [
        Target(
            name=f.name,
            endpoint=f.endpoint,
            headers={k: v.reveal() for k, v in f.headers.items()},
            signals=tuple(dict.fromkeys(f.signals)),
            projects=f.projects,
            where=f.where,
            start=f.start,
            timeout_s=f.timeout / 1e9,
        )
        for f in config.forward
    ]


def providers_of(config: Config) -> dict[str, Settings]:
    """The configured model providers by name, on top of `llm.table.DEFAULTS`."""
    made: dict[str, Settings] = {}
    for provider in config.providers:
        made[provider.name] = Settings(
            protocol=provider.protocol,
            base_url=provider.base_url,
            key_env=provider.key_env,
            timeout_s=provider.timeout / 1e9,
            concurrency=provider.concurrency,
            rate=provider.rate,
            structured=provider.structured,
        )
    return made


def known_providers(config: Config) -> list[str]:
    """Every provider a judge's `provider:model` may name."""
    return sorted({*DEFAULTS, *(p.name for p in config.providers)})


def not_provided(model: str, known: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a `provider:model` that no known provider has, and what to write; None where one may."""
    name, colon, rest = model.partition(":")
    if colon and name in known:
        return None if rest else (f"{shown(model)} names no model", f"write {name}:model")
    return (
        f"{shown(model)} names no provider this server knows",
        f"write provider:model; {did_you_mean(name, known)}",
    )


def prices_of(config: Config) -> pricing.Table:
    """The built-in price table with the configured prices over it; its version then names their content."""
    table = pricing.default_table()
    if not config.price:
        return table
    models = {provider: dict(prices) for provider, prices in table.models.items()}
    for own in config.price:
        models.setdefault(own.provider.lower(), {})[own.model.lower()] = pricing.Price(
            input=own.input,
            output=own.output,
            cached=own.cached_input,
            cache_write=own.cache_write,
            reasoning=own.reasoning,
            request=own.request or 0.0,
        )
    content = msgspec.json.encode([p.model_dump() for p in config.price], order="deterministic")
    return pricing.Table(f"{table.version}+{hashlib.sha256(content).hexdigest()[:8]}", models, table.aliases)


def signals_of(config: Config, project: str) -> list[SignalRoute]:
    """What becomes of each signal of a project."""
    made: list[SignalRoute] = []
    for signal in config.signals:
        if signal.project != project:
            continue
        scorer, when = ALIASES.get(signal.signal, (signal.signal, "failed"))
        made.append(
            SignalRoute(
                name=signal.name or signal.signal,
                scorer=scorer,
                when=signal.when or when,
                below=signal.below,
                above=signal.above,
                actions=signal.do,
                share=signal.share,
                dataset=signal.dataset,
            )
        )
    return made


def sampling_of(sample: Sample) -> list[Policy]:
    """The policies of a scorecard's sample. Raises ValueError."""
    return policies_of(sample.rate, sample.strata, sample.always)
