"""Faults that need more than the shape of a value: names that must exist or differ, conditions, scorers, patterns."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from watchkeeper.alerting.monitor import DIMENSIONS, SEVERITIES, MonitorError, read_scorers
from watchkeeper.config.adapters import (
    egress_of,
    known_providers,
    not_provided,
    objective_of,
    pack_of,
    providers_of,
    redaction_of,
    rule_of,
    sampling_of,
)
from watchkeeper.config.dashboards import filled
from watchkeeper.config.models import Config, Metric
from watchkeeper.config.problems import did_you_mean, shown
from watchkeeper.config.yamlfile import Loc
from watchkeeper.egress.policy import EgressRefused, parse_entry
from watchkeeper.llm.table import DEFAULTS
from watchkeeper.pipeline.plan import default_scorers
from watchkeeper.pipeline.roll import DERIVED, ERROR_CLASSES, metric_of, scorer_of
from watchkeeper.pipeline.where import COLUMNS, WhereError, compile_condition
from watchkeeper.redaction.policy import Policy as RedactionPolicy
from watchkeeper.scoring.classifiers.table import BY_TYPE as CLASSIFIERS
from watchkeeper.scoring.classifiers.table import default_classifiers
from watchkeeper.scoring.protocol import Judge
from watchkeeper.scoring.registry import SpecError, build
from watchkeeper.scoring.sampling import Sampler
from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox import prepare

log = logging.getLogger("watchkeeper.config")

# Redaction needs a key to be built; which one does not matter for whether the policy is sound.
_ANY_KEY = "check"
LONGEST_WHERE = 4000
# What a rule calls otherwise than its section.
_FIELDS = {"routes": "notify"}


@dataclass(frozen=True)
class Finding:
    """A fault or doubt at a path of the configuration."""

    loc: Loc
    message: str
    allowed: str = ""
    level: str = "error"


def findings(config: Config, env: Mapping[str, str] | None = None) -> list[Finding]:
    """Everything wrong or doubtful about a configuration whose shape is right."""
    environment = os.environ if env is None else env
    return [
        *_names(config),
        *_routes(config),
        *_told(config),
        *_dashboards(config),
        *_actions(config),
        *_secrets(config, environment),
        *_monitors(config),
        *_promises(config),
        *_scorecards(config),
        *_guards(config),
        *_privacy(config),
        *_egress(config),
        *_reached(config),
        *_keys(config, environment),
    ]


def _doubles(section: str, names: Iterable[tuple[Loc, Any]]) -> Iterator[Finding]:
    seen: set[Any] = set()
    for loc, name in names:
        if name in seen:
            word = name[-1] if isinstance(name, tuple) else name
            yield Finding(loc, f"{section} {shown(word)} exists twice", "names must differ")
        seen.add(name)


def _names(config: Config) -> Iterator[Finding]:
    for section in ("scorecards", "guards", "monitors", "routes", "providers", "taxonomy", "forward"):
        items = getattr(config, section)
        named = (((section, i, "name"), (getattr(x, "project", ""), x.name)) for i, x in enumerate(items))
        yield from _doubles(section.removesuffix("s"), named)
    signals = (
        (("signals", i, "signal"), (s.project, s.name or s.signal)) for i, s in enumerate(config.signals)
    )
    yield from _doubles("signal", signals)
    metrics = (
        (("scorecards", i, "metrics", j, "name"), (card.project, metric.name))
        for i, card in enumerate(config.scorecards)
        for j, metric in enumerate(card.metrics)
    )
    yield from _doubles("scorer", metrics)
    prices = ((("price", i, "model"), (p.provider, p.model)) for i, p in enumerate(config.price))
    yield from _doubles("price of", prices)


def _routes(config: Config) -> Iterator[Finding]:
    known = [r.name for r in config.routes]
    covered = {s for r in config.routes for s in r.default_for}
    for i, monitor in enumerate(config.monitors):
        if not monitor.notify and SEVERITIES[monitor.severity] == "page" and "page" not in covered:
            said = "pages nobody: it has no notify, and no route is the default for pages"
            yield Finding(("monitors", i), said, "name a route", "warning")
        for j, wanted in enumerate(monitor.notify):
            if wanted in known:
                continue
            level = "error" if known else "warning"
            said = f"there is no route {shown(wanted)}, so nothing will be delivered"
            allowed = did_you_mean(wanted, known) or "describe it under routes"
            yield Finding(("monitors", i, "notify", j), said, allowed, level)


def _actions(config: Config) -> Iterator[Finding]:
    """Actions that name a route, a judge or each other."""
    webhooks = [r.name for r in config.routes if r.type == "webhook"]
    for i, monitor in enumerate(config.monitors):
        cards = [c for c in config.scorecards if c.project == monitor.project]
        known = {"scorer": [m.name for c in cards for m in c.metrics], "scorecard": [c.name for c in cards]}
        called = (
            (("monitors", i, "actions", j, "name"), a.name or a.type) for j, a in enumerate(monitor.actions)
        )
        yield from _doubles("action", called)
        for j, action in enumerate(monitor.actions):
            at: Loc = ("monitors", i, "actions", j)
            if action.route is not None and action.route not in webhooks:
                allowed = did_you_mean(action.route, webhooks) or "describe one under routes, of type webhook"
                yield Finding((*at, "route"), f"there is no webhook route {shown(action.route)}", allowed)
            for key in ("scorer", "scorecard"):
                name = getattr(action, key)
                if name is not None and name not in known[key]:
                    allowed = did_you_mean(name, known[key])
                    yield Finding((*at, key), f"there is no {key} {shown(name)}", allowed)


def _dashboards(config: Config) -> Iterator[Finding]:
    """Names, cohorts, and statements the sandbox would not take."""
    names = ((("dashboards", i, "name"), (d.project, d.name)) for i, d in enumerate(config.dashboards))
    yield from _doubles("dashboard", names)
    scorers = sorted({m.name for c in config.scorecards for m in c.metrics})
    for i, board in enumerate(config.dashboards):
        for j, section in enumerate(board.sections):
            for k, widget in enumerate(section.widgets):
                at: Loc = ("dashboards", i, "sections", j, "widgets", k)
                for key in widget.cohort:
                    if key not in DIMENSIONS:
                        allowed = did_you_mean(key, DIMENSIONS)
                        yield Finding((*at, "cohort"), f"{shown(key)} is not a dimension", allowed)
                if widget.sql is None:
                    continue
                try:
                    prepare(filled(widget.sql, "'2026-01-01 00:00:00'", "'2026-01-02 00:00:00'"), scorers)
                except QueryRefused as error:
                    yield Finding((*at, "sql"), str(error), error.hint)


def _told(config: Config) -> Iterator[Finding]:
    """Routes that are named outside of monitors."""
    known = [r.name for r in config.routes]
    wanted: list[tuple[Loc, str]] = [
        (("self_monitoring", "notify", i), n) for i, n in enumerate(config.self_monitoring.notify)
    ]
    if config.heartbeat is not None:
        wanted.append((("heartbeat", "route"), config.heartbeat.route))
    if config.weekly is not None and config.weekly.route is not None:
        wanted.append((("weekly", "route"), config.weekly.route))
    elif config.weekly is not None and not any("info" in r.default_for for r in config.routes):
        said = "goes nowhere: it names no route, and no route is the default for info"
        yield Finding(("weekly",), said, "write weekly: {route: …}", "warning")
    for loc, name in wanted:
        if name not in known:
            allowed = did_you_mean(name, known) or "describe it under routes"
            yield Finding(loc, f"there is no route {shown(name)}", allowed)


def _secrets(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    for i, item in enumerate(config.routes):
        for name in ("secret", "key", "password"):
            value = getattr(item, name, None)
            if value is not None and value.origin == "written in the file":
                yield Finding(
                    ("routes", i, name), "a secret is written in the file", "use ${NAME}", "warning"
                )
    for i, target in enumerate(config.forward):
        if target.where is not None:
            yield from _where(("forward", i, "where"), target.where)
        for name, value in target.headers.items():
            if value.origin == "written in the file" and name.lower() != "content-type":
                where = ("forward", i, "headers", name)
                yield Finding(where, "a header's value is written in the file", "use ${NAME}", "warning")
    for i, provider in enumerate(config.providers):
        if provider.key_env is not None and not env.get(provider.key_env):
            said = f"the environment variable {provider.key_env} is not set or empty"
            yield Finding(("providers", i, "key_env"), said, "its judges will wait", "warning")


def _promises(config: Config) -> Iterator[Finding]:
    for i, objective in enumerate(config.objectives):
        try:
            _ = objective_of(objective).monitors()
        except MonitorError as error:
            yield Finding(("objectives", i, _FIELDS.get(error.field, error.field)), error.message)
    for i, pack in enumerate(config.packs):
        names = [m.name for m in pack_of(pack.model_copy(update={"without": ()}))]
        for j, left_out in enumerate(pack.without):
            if left_out not in names:
                said = f"'{left_out}' is not in the pack {pack.name}"
                yield Finding(("packs", i, "without", j), said, f"it holds {', '.join(names)}")


def _monitors(config: Config) -> Iterator[Finding]:
    models = _models(config)
    always = (
        {*DERIVED, *ERROR_CLASSES, *(s.name for s in default_scorers())} if config.monitors else set[str]()
    )
    for i, monitor in enumerate(config.monitors):
        try:
            rule = rule_of(monitor)
        except MonitorError as error:
            yield Finding(("monitors", i, _FIELDS.get(error.field, error.field)), error.message)
            continue
        held = sorted(read_scorers(rule) & {metric_of(n) for n in models.get(monitor.project, models[""])})
        if rule.severity == "page" and held:
            said = f"pages on {', '.join(held)}, a model: until people have agreed with it, it warns instead"
            yield Finding(
                ("monitors", i, "severity"),
                said,
                f"run: watchkeeper calibrate {scorer_of(held[0])}",
                "warning",
            )
        yield from _unmade(
            ("monitors", i, "condition"), read_scorers(rule), always | _own(config, monitor.project)
        )


def _own(config: Config, project: str) -> set[str]:
    """The metrics that this file makes in a project. Applications may send scores of any other name."""
    cards = {m.name for c in config.scorecards if c.project == project for m in c.metrics}
    guards = {m.name for g in config.guards if g.project == project for m in (*g.input, *g.output)}
    return {metric_of(name) for name in cards | guards}


def _unmade(loc: Loc, read: Iterable[str], made: set[str]) -> Iterator[Finding]:
    """Metrics that nothing here makes and whose names look like one that something does."""
    for name in sorted(set(read) - made):
        close = get_close_matches(name, sorted(made), n=1, cutoff=0.75)
        if name.startswith("error_class:") or close:
            said = f"nothing here makes {shown(name)}; the monitor has no data until something does"
            yield Finding(loc, said, f"did you mean '{close[0]}'?" if close else "", "warning")


def _models(config: Config) -> dict[str, set[str]]:
    """The judges and classifiers by project; under '' those every project has."""
    found = {"": {s.name for s in default_classifiers()}}
    for card in config.scorecards:
        own = found.setdefault(card.project, set(found[""]))
        for metric in card.metrics:
            model = metric.type in ("llm_judge", "classifier") or metric.type in CLASSIFIERS
            (own.add if model else own.discard)(metric.name)
    return found


def _metric(loc: Loc, metric: Metric, providers: list[str] | None) -> Iterator[Finding]:
    """Whether a scorer can be built. `providers` are those a judge may ask; None in a guard, where nobody may be asked."""
    try:
        scorer = build(metric.spec())
    except SpecError as error:
        key = error.key.split(".")[0]
        own = key in metric.spec()
        message = str(error) if not own else str(error).removeprefix(f"{error.key}: ")
        yield Finding((*loc, key) if own else loc, message)
        return
    # A parameter of a wrong shape may break a scorer's constructor anywhere; whoever wrote it gets the reason in words.
    except Exception as error:  # noqa: BLE001
        log.warning("the scorer %s cannot be built: %r", metric.name, error)
        yield Finding(loc, f"cannot be built: {type(error).__name__}: {shown(error, 200)}")
        return
    if not isinstance(scorer, Judge):
        return
    if providers is None:
        said = "a guard cannot ask a model: it must answer within its time budget"
        yield Finding((*loc, "type"), said, "use a check or classifier")
    else:
        wrong = not_provided(scorer.model, providers)
        if wrong is not None:
            yield Finding((*loc, "model"), *wrong)


def _scorecards(config: Config) -> Iterator[Finding]:
    providers = known_providers(config)
    for i, card in enumerate(config.scorecards):
        for j, metric in enumerate(card.metrics):
            yield from _metric(("scorecards", i, "metrics", j), metric, providers)
        if card.where is not None:
            yield from _where(("scorecards", i, "where"), card.where)
        try:
            Sampler(sampling_of(card.sample), "")
        except ValueError as error:
            yield Finding(("scorecards", i, "sample"), str(error))


def _where(loc: Loc, text: str) -> Iterator[Finding]:
    if len(text) > LONGEST_WHERE:
        yield Finding(loc, f"longer than {LONGEST_WHERE} characters")
        return
    try:
        compile_condition(text)
    except WhereError as error:
        if error.column is None:
            yield Finding(loc, error.said)
        else:
            yield Finding(loc, f"unknown column {shown(error.column)}", did_you_mean(error.column, COLUMNS))


def _guards(config: Config) -> Iterator[Finding]:
    for i, guard in enumerate(config.guards):
        for side in ("input", "output"):
            for j, metric in enumerate(getattr(guard, side)):
                loc: Loc = ("guards", i, side, j)
                yield from _metric(loc, metric, None)


def _privacy(config: Config) -> Iterator[Finding]:
    spec = redaction_of(config, _ANY_KEY)
    if spec is None:
        said = "personal data and secrets will be stored as they come"
        yield Finding(("privacy", "redact"), said, "", "warning")
        return
    try:
        RedactionPolicy(spec)
    except ValueError as error:
        where, _, message = str(error).partition(": ")
        path = where.split(".")
        loc: Loc = ("privacy", path[1]) if len(path) > 1 else ("privacy",)
        labels = [p.label for p in config.privacy.patterns]
        if len(path) > 2 and path[1] == "patterns" and path[2] in labels:
            loc = ("privacy", "patterns", labels.index(path[2]), "pattern")
        yield Finding(loc, message or str(error))


def _egress(config: Config) -> Iterator[Finding]:
    for i, entry in enumerate(config.egress.allow):
        try:
            parse_entry(entry)
        except ValueError as error:
            yield Finding(("egress", "allow", i), str(error))


def _reached(config: Config) -> Iterator[Finding]:
    """Addresses the server is told to connect to and will not: their messages and judgements would wait for ever."""
    try:
        policy = egress_of(config)
    except ValueError:
        return
    for loc, url in _addresses(config):
        try:
            policy.check(url)
        except EgressRefused:
            # A webhook's address may be a secret: the host is enough to know what is meant.
            host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
            if not host:
                continue
            said = f"{shown(host)} will not be reached: only https to public addresses is, and what egress.allow lists"
            yield Finding(loc, said, f"add {shown(host)} to egress.allow", "warning")


def _addresses(config: Config) -> Iterator[tuple[Loc, str]]:
    for i, route in enumerate(config.routes):
        url = getattr(route, "url", None)
        if url is not None:
            yield ("routes", i, "url"), url if isinstance(url, str) else url.reveal()
    for i, target in enumerate(config.forward):
        yield ("forward", i, "endpoint"), target.endpoint
    for i, provider in enumerate(config.providers):
        if provider.base_url is not None:
            yield ("providers", i, "base_url"), provider.base_url
    for loc, name in _asked(config):
        base = DEFAULTS[name].base_url
        if base is not None:
            yield loc, base


def _keys(config: Config, env: Mapping[str, str]) -> Iterator[Finding]:
    for loc, name in _asked(config):
        key = DEFAULTS[name].key_env
        if key is not None and not env.get(key):
            yield Finding(
                loc, f"the environment variable {key} is not set or empty", "its judges will wait", "warning"
            )


def _asked(config: Config) -> list[tuple[Loc, str]]:
    """The providers of our own that judges ask and nobody has configured otherwise, each where it is named first."""
    own = providers_of(config)
    found: dict[str, Loc] = {}
    for i, card in enumerate(config.scorecards):
        for j, metric in enumerate(card.metrics):
            name = str(metric.spec().get("model", "")).partition(":")[0]
            if metric.type == "llm_judge" and name in DEFAULTS and name not in own:
                found.setdefault(name, ("scorecards", i, "metrics", j, "model"))
    return [(loc, name) for name, loc in found.items()]
