"""Configurations that people write, good and bad: every fault is a message with file, line, column and what is allowed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.shared import shared_path
from watchkeeper.config.adapters import prices_of, providers_of, redaction_of, routes_of, rules_of
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.load import load, load_text
from watchkeeper.config.models import Config, Sample
from watchkeeper.config.problems import ConfigError, Problem, did_you_mean
from watchkeeper.config.schema import schema, schema_text
from watchkeeper.config.units import Secret, duration_ns, duration_text, fraction, money, size_bytes

GOOD = """
server:
  public_url: https://watch.example.com
  hosts: [watch.internal]
  limits: {body: 10 MiB}
privacy:
  names: [Ada Lovelace]
  patterns: [{label: order, pattern: 'ORD-[0-9]{6}'}]
taxonomy:
  - {name: wrong_policy, definition: The answer states a policy we do not have.}
scorecards:
  - name: support
    where: scenario = 'support' and cost > 0.001
    sample: {rate: 5%, strata: {model: 10%}, always: [error, thumbs_down], budget: 20 USD/day}
    metrics:
      - {name: short, type: length, max: 900}
      - {name: no_advice, type: policy, pattern: '(?i)prescribe'}
      - {name: latency, type: performance, p95: 3000ms}
monitors:
  - name: too-long
    condition: share(short < 1) > 5%
    window: 15m
    by: [model]
    where: {scenario: support}
    severity: critical
    owner: support-ml
    runbook: runbooks/long.md
    notify: [on-call]
    tests: [{series: "1 x20, 0 x10", expect: {firing_at: 23}}]
routes:
  - {name: on-call, type: webhook, url: '${HOOK}', secret: '${HOOK_SECRET}', default_for: [page]}
providers:
  - {name: own, base_url: 'http://127.0.0.1:8000/v1', key_env: OWN_KEY}
egress: {allow: ['127.0.0.1:8000']}
price:
  - {provider: own, model: m1, input: 1, output: 2.5}
"""
ENV = {"HOOK": "https://hooks.example.com/x", "HOOK_SECRET": "s3cret", "OWN_KEY": "k"}


def problems(text: str | bytes, env: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "w.yaml", env or {})
    return list(caught.value.problems)


def test_what_is_always_scored_leaves_low_scores_to_those_who_ask() -> None:
    always = Sample().always
    assert "error" in always and "thumbs_down" in always and "low_score" not in always


def test_it_reads_a_whole_configuration_into_frozen_objects() -> None:
    loaded = load_text(GOOD, "w.yaml", ENV)
    config = loaded.config
    assert loaded.warnings == ()
    assert config.server.limits.body == 10 << 20
    assert config.scorecards[0].sample.rate == 0.05 and config.scorecards[0].sample.budget is not None
    assert config.scorecards[0].sample.budget.per_day == 20
    assert config.monitors[0].window == 900 * 10**9
    with pytest.raises(Exception, match="frozen"):
        config.server.hosts = ()  # type: ignore[misc]
    (rule,) = rules_of(config)
    assert (
        rule.routes == ("on-call",)
        and rule.severity == "page"
        and rule.tests[0].expect == {"firing_at": 23}
        and rule.where == (("scenario", "support"),)
    )
    assert routes_of(config).page == ("on-call",)
    assert providers_of(config)["own"].key_env == "OWN_KEY"
    assert "m1" in prices_of(config).models["own"] and "+" in prices_of(config).version
    spec = redaction_of(config, "k")
    assert spec is not None and spec.names == ("Ada Lovelace",) and spec.patterns[0].label == "order"


def test_it_never_shows_a_secret() -> None:
    config = load_text(GOOD, "w.yaml", ENV).config
    assert (
        "s3cret" not in repr(config) and "s3cret" not in str(config) and "hooks.example" not in repr(config)
    )
    url: Any = config.routes[0].url  # type: ignore[union-attr]
    assert isinstance(url, Secret) and url.reveal() == ENV["HOOK"]


def test_it_accepts_the_sketch_of_the_design() -> None:
    text = shared_path("design/architecture.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    sketch = found[1].replace("mychecks:grounded", "operator:truth")
    config = load_text(sketch, "sketch.yaml", {}).config
    assert [m.name for m in config.scorecards[0].metrics] == [
        "answer_relevance",
        "grounded",
        "no_medical_advice",
        "latency",
        "cost",
    ]
    assert rules_of(config)[0].owner == "support-ml"


def test_a_folder_that_goes_away_while_it_is_read_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory", str(tmp_path / "x"))

    monkeypatch.setattr(Path, "rglob", gone)
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert str(error.value.problems[0]) == f"{tmp_path / 'x'}:1:1: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("monitors: [{name: a}]", "1:12", ["owner", "is required"]),
        ("servr: {}", "1:1", ["servr: unknown key", "did you mean 'server'", "allowed:"]),
        ("server:\n  hots: [a]", "2:3", ["server.hots", "did you mean 'hosts'"]),
        ("server:\n  hosts: [a]\n  hosts: [b]", "3:3", ["hosts", "already set in line 2"]),
        ("privacy: {redact: on}", "1:19", ["'on'", "true, false"]),
        ("privacy: {redact: 1}", "1:19", ["privacy.redact: must be true or false"]),
        ("privacy: {names: 5}", "1:18", ["privacy.names: must be a list"]),
        ("monitors: 5", "1:11", ["monitors: must be a list"]),
        ("privacy: 5", "1:10", ["privacy: must be an object"]),
        ("server: {limits: {body: 3 parsecs}}", "1:25", ["server.limits.body", "20 MiB"]),
        ("server: !!python/object/apply:os.system [ls]", "1:9", ["tag", "not allowed"]),
        ("server: !custom {}", "1:9", ["tag", "'!custom'"]),
        ("budgets: []", "1:1", ["not available in this version"]),
        ("signals: [{signal: copy, do: [baseline, judge]}]", "1:11", ["leave it out or alone"]),
        ("signals: [{signal: a, do: [review]}, {signal: a, do: [judge]}]", "1:47", ["exists twice"]),
        ("signals: [{signal: copy, do: [golden], dataset: replay}]", "1:11", ["anew", "name another"]),
        ("signals: [{signal: a, do: [review, jugde]}]", "1:36", ["did you mean 'judge'"]),
        ("releases: []", "1:1", ["not available in this version"]),
        ("a: *nope", "1:4", ["alias"]),
        ("a: &x [*x]", "1:8", ["contains itself"]),
        ("a: {<<: {b: 1}}", "1:5", ["merge keys"]),
        ("a: [1", "2:1", ["not valid YAML"]),
        ("monitors:\n\t- name: x", "2:1", ["a tab cannot indent; use spaces"]),
        ("a: @x", "1:4", ["nothing begins with '@'; quote it"]),
        ("- a", "1:1", ["must be sections"]),
        ("1: a", "1:1", ["key"]),
        ("[a]: b", "1:1", ["a key must be plain text"]),
        ("a: 1\n---\nb: 2", "2:1", ["more than one document"]),
        ("a: .nan", "1:4", ["not a usable number"]),
        ("server: {public_url: '${URL}'}", "1:22", ["not replaced here", "only for urls"]),
        ("routes:\n  - {name: a, type: slack, url: '${NOT_SET}'}", "2:33", ["routes[0].url", "NOT_SET is not set"]),
        ("routes: [{name: a, type: slak}]", "1:10", ["'slak' is not a known type", "did you mean 'slack'"]),
        ("egress: {allow: ['http://x']}", "1:18", ["egress.allow[0]"]),
        ("privacy: {kinds: [emial]}", "1:11", ["privacy.kinds", "emial"]),
        ("privacy: {patterns: [{label: x, pattern: '(a'}]}", "1:42", ["privacy.patterns[0].pattern", "RE2"]),
        ("scorecards: [{name: s, metrics: [{name: a, type: lenght}]}]", "1:50", ["metrics[0].type", "'lenght'"]),
        ("scorecards: [{name: s, metrics: [{name: a, type: length, mx: 1}]}]", "1:62", ["metrics[0].mx", "max"]),
        ("scorecards: [{name: s, where: 'scenari = 1', metrics: [{name: a, type: json_valid}]}]", "1:31", ["did you mean 'scenario'"]),
        ("scorecards: [{name: s, sample: {budget: 5 USD}, metrics: [{name: a, type: json_valid}]}]", "1:41", ["20 USD/day"]),
        ("scorecards: [{name: s, metrics: [{name: a, type: llm_judge, model: 'nobody:m', prompt: x}]}]", "1:68", ["names no provider"]),
        ("monitors: [{name: a, owner: o, runbook: r, condition: 'x <'}]", "1:55", ["monitors[0].condition"]),
        ("guards: [{name: g}]", "1:10", ["at least one check"]),
    ],
)  # fmt: skip
def test_it_says_where_and_what_is_allowed(text: str, place: str, words: list[str]) -> None:
    found = [str(p) for p in problems(text)]
    match = [f for f in found if all(word in f for word in words)]
    assert match, found
    assert match[0].startswith(f"w.yaml:{place}: "), found


def test_it_names_every_fault_at_once() -> None:
    assert len(problems("servr: {}\nserver: {hots: 1}\nmonitors: [{name: a}]")) >= 5


def test_it_refuses_names_that_exist_twice_and_routes_that_do_not_exist() -> None:
    text = """
monitors:
  - {name: a, owner: o, runbook: r, condition: x < 1, notify: [pager]}
  - {name: a, owner: o, runbook: r, condition: x < 1}
routes: [{name: pages, type: log}]
"""
    words = "\n".join(str(p) for p in problems(text))
    assert "'a' exists twice" in words and "did you mean 'pages'" in words


def test_it_warns_of_what_is_doubtful() -> None:
    text = "monitors: [{name: a, owner: o, runbook: r, condition: x < 1, severity: page}]\nprivacy: {redact: false}"
    words = [str(w) for w in load_text(text).warnings]
    assert any("pages nobody" in w for w in words) and any("stored as they come" in w for w in words)
    literal = "routes: [{name: a, type: pagerduty, key: abc}]"
    assert "written in the file" in str(load_text(literal).warnings[0])


def test_what_will_not_be_reached_or_has_no_key_is_told_when_the_file_is_read():
    text = """
scorecards:
  - {{name: c, metrics: [{{name: a, type: llm_judge, model: "openai:gpt-5", rubric: tone}},
                         {{name: b, type: llm_judge, model: "ollama:llama3", rubric: tone}},
                         {{name: d, type: llm_judge, model: "ollama:llama4", rubric: tone}}]}}
providers: [{{name: own, base_url: "http://127.0.0.1:8080/v1"}}]
routes: [{{name: r, type: slack, url: "https://10.1.2.3/hidden/path"}}]
forward: [{{name: f, endpoint: "http://tempo:4318"}}]
egress: {{allow: [{}]}}
"""
    said = "\n".join(map(str, load_text(text.format("")).warnings))
    for host in ("127.0.0.1:11434", "127.0.0.1:8080", "10.1.2.3", "tempo:4318"):
        assert said.count(f"add '{host}' to egress.allow") == 1, said
    assert "OPENAI_API_KEY is not set" in said and "hidden" not in said
    listed = text.format("'127.0.0.1', 10.0.0.0/8, tempo")
    assert "egress.allow" not in "\n".join(map(str, load_text(listed, env={"OPENAI_API_KEY": "k"}).warnings))


def test_a_page_on_a_judge_is_told_that_it_warns_first_also_where_the_judge_is_called_as_a_fact_is():
    text = """
scorecards: [{{name: c, metrics: [{{name: {0}, type: llm_judge, model: "openai:gpt-5", prompt: Is it dear?}}]}}]
monitors: [{{name: m, condition: "{1} < 7", owner: o, runbook: r, severity: page, notify: [log]}}]
routes: [{{name: log, type: log}}]
"""
    for name, metric in (("kindness", "kindness"), ("cost", "score_cost")):
        said = "\n".join(map(str, load_text(text.format(name, metric)).warnings))
        assert f"pages on {metric}, a model" in said and f"watchkeeper calibrate {name}" in said
        assert f"'{metric}'" not in said.replace(f"calibrate {name}", "")
    assert "a model" not in "\n".join(map(str, load_text(text.format("cost", "cost")).warnings))


def test_a_monitor_of_a_metric_that_nothing_makes_is_told_what_was_meant():
    text = "monitors:\n  - {{name: m, condition: '{}', owner: o, runbook: r}}\n"
    said = [
        str(w) for w in load_text(text.format("answer_relevence < 7 and error_class:unsaef > 1%")).warnings
    ]
    assert any("'answer_relevence'" in w and "did you mean 'answer_relevance'?" in w for w in said)
    assert any("'error_class:unsaef'" in w for w in said)
    # A score that an application sends under its own name is nobody's mistake.
    assert not load_text(text.format("our_own_verdict < 7 and latency_ms.p95 > 5s")).warnings


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 20_000,
        "{a: " * 20_000,
        "a: " + "[" * 30 + "]" * 30,
        "\n".join(["a: &a0 [x]"] + [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]),
        "a: &x b\nc: [" + ", ".join(["*x"] * 101) + "]",
        "a: " + "9" * 5000 + "\nserver: {}",
        "a: 1e999",
        "a: " + "x" * (3 << 20),
        "- " * 5000,
        "\x00",
        "a: \ud800",
        'a: "\\ud800"',
        "%YAML 9.9\n---\na: 1",
        "? {a: b}\n: c",
        "a: 'unclosed",
        "\t\ta: b",
        "{a: 1, a: 2}",
    ],
)
def test_it_survives_bombs(bomb: str) -> None:
    raw = bomb.encode("utf-8", "surrogatepass")
    assert problems(raw)


def test_it_reads_bytes_that_are_not_text_as_a_fault() -> None:
    assert "UTF-8" in str(problems(b"\xff\xfe\x00")[0])


def test_it_keeps_words_that_other_readers_turn_into_something_else() -> None:
    config = load_text("server: {hosts: [12:30:45, 2026-01-01, 0123, 'no', null_host]}").config
    assert config.server.hosts == ("12:30:45", "2026-01-01", "0123", "no", "null_host")


NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([*ENV, "${HOME}", "5%", "15m"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["name", "type", "rate", "where"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
BASE = yaml.safe_load(GOOD)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found.extend(_paths(value, (*path, key)))
    return found


@given(st.sampled_from(_paths(BASE)[1:]), NODES)
@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_answers_every_mutation_in_words(path: tuple[Any, ...], value: Any) -> None:
    mutated = yaml.safe_load(GOOD)
    node = mutated
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    text = yaml.safe_dump(mutated, allow_unicode=True)
    try:
        load_text(text, "w.yaml", ENV)
    except ConfigError as error:
        for problem in error.problems:
            assert problem.file == "w.yaml" and problem.line >= 1 and problem.column >= 1 and problem.message
            assert "\n" not in str(problem) and "\x1b" not in str(problem)


@given(st.text(max_size=300))
@settings(max_examples=70, deadline=None)
def test_it_answers_any_text_in_words(text: str) -> None:
    try:
        load_text(text, "w.yaml")
    except ConfigError as error:
        assert error.problems


@given(st.integers(0, len(GOOD)), st.text(max_size=6), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_it_answers_slips_of_the_pen_in_words(at: int, typed: str, cut: int) -> None:
    try:
        load_text(GOOD[:at] + typed + GOOD[at + cut :], "w.yaml", ENV)
    except ConfigError as error:
        assert all(p.line >= 1 for p in error.problems)


def test_it_joins_the_lists_of_a_folder_and_names_the_file_at_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "monitors: [{name: a, owner: o, runbook: r, condition: x < 1}]\nserver: {hosts: [h]}"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yml").write_text(
        "monitors:\n  - {name: b, owner: o, runbook: r, condition: x < 1}"
    )
    (tmp_path / "notes.txt").write_text("not: [yaml")
    assert [m.name for m in load(tmp_path, {}).config.monitors] == ["a", "b"]
    (tmp_path / "sub" / "b.yml").write_text("monitors:\n  - {name: b, owner: o, runbook: r, condition: x <}")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert "b.yml:2:" in str(caught.value) and "monitors[1].condition" in str(caught.value)
    (tmp_path / "sub" / "b.yml").write_text("server: {hosts: [x]}")
    with pytest.raises(ConfigError, match="already written in"):
        load(tmp_path, {})


def test_it_says_when_there_is_nothing_to_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError):
            load(path, {})
    (tmp_path / "big.yaml").write_bytes(b"#" * (3 << 20))
    with pytest.raises(ConfigError, match="larger than"):
        load(tmp_path, {})


def test_it_keeps_the_old_configuration_when_the_new_one_is_bad(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("server: {hosts: [one]}")
    holder = ConfigHolder.from_path(file, {})
    seen: list[Config] = []
    holder.on_change(seen.append)
    file.write_text("server: {hots: [two]}")
    assert holder.reload(5, {}) is False
    assert holder.current.server.hosts == ("one",) and seen == []
    assert (
        holder.rejected is not None
        and holder.rejected.time_ns == 5
        and "hots" in str(holder.rejected.problems[0])
    )
    file.write_text("server: {hosts: [three]}")
    assert holder.reload(6, {}) is True
    assert holder.current.server.hosts == ("three",) and holder.rejected is None and holder.generation == 2


def test_it_takes_a_configuration_back_when_a_part_cannot_use_it(tmp_path: Path) -> None:
    holder = ConfigHolder(Config())
    seen: list[str] = []
    holder.on_change(lambda c: seen.append(",".join(c.server.hosts)))

    def refuse(config: Config) -> None:
        if config.server.hosts:
            raise ConfigError([Problem("w.yaml", 1, 1, "server", "no")])

    holder.on_change(refuse)
    with pytest.raises(ConfigError):
        holder.replace(load_text("server: {hosts: [x]}"))
    assert seen == ["x", ""] and holder.current.server.hosts == ()


def test_it_publishes_a_schema_that_accepts_what_it_accepts() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    assert not list(validator.iter_errors(yaml.safe_load(GOOD)))
    assert list(validator.iter_errors({"servr": {}}))
    assert list(validator.iter_errors({"monitors": [{"name": "a", "condition": "x"}]}))


def test_its_committed_schema_is_current() -> None:
    committed = Path(__file__).resolve().parents[3] / "docs" / "config.schema.json"
    assert committed.read_text() == schema_text(), "run: watchkeeper check --schema > docs/config.schema.json"


@pytest.mark.parametrize("text", ["15m", "90s", "7d", "1h", "500ms", "2w"])
def test_it_reads_back_durations(text: str) -> None:
    assert duration_ns(duration_text(duration_ns(text))) == duration_ns(text)


@pytest.mark.parametrize("bad", ["", "5", 5, "m", "-1m", "1 parsec", "1m1s", None, True, "9" * 40 + "d"])
def test_it_refuses_other_durations(bad: Any) -> None:
    with pytest.raises(ValueError, match="15m"):
        duration_ns(bad)


def test_it_reads_shares_sizes_and_money() -> None:
    assert fraction("5%") == 0.05 and fraction(1) == 1.0
    assert size_bytes("20 MiB") == 20 << 20 and size_bytes(7) == 7
    assert money("30 USD/month").per_day == pytest.approx(1.0) and money("0.05 USD").per is None
    for bad in ("101%", "-1%", 2, True, "5 %%", None):
        with pytest.raises(ValueError, match="share"):
            fraction(bad)
    for bad in ("20 EUR/day", "USD", 5, "1 USD/week"):
        with pytest.raises(ValueError, match="USD"):
            money(bad)


def test_it_guesses_what_was_meant() -> None:
    assert did_you_mean("mintors", ["monitors", "routes"]).startswith("did you mean 'monitors'?")
    assert did_you_mean("zzz", ["monitors"]) == "allowed: monitors"


def test_an_entry_that_is_wrong_is_the_only_fault_of_its_list() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("scorecards: [{name: a, metrics: [{name: x}]}, {name: b, metrics: []}]")
    assert [(p.key, p.message) for p in caught.value.problems] == [
        ("scorecards[0].metrics[0].type", "is required"),
        ("scorecards[1].metrics", "is empty; it needs at least one entry"),
    ]


@pytest.mark.parametrize(
    "name", ["Größe", "Correctness [GEval]", "Q&A Correctness", "日本", "error_class:unsafe"]
)
def test_a_score_of_another_system_may_be_read_by_whatever_name_it_has(name: str) -> None:
    said = f"""
monitors: [{{name: m, owner: o, runbook: r, condition: '"{name}" < 0.5'}}]
objectives: [{{name: o, owner: o, runbook: r, good: '"{name}" >= 0.5', target: 95%}}]
signals: [{{signal: "{name}", name: n, below: 0.2, do: [review]}}]
dashboards: [{{name: d, sections: [{{title: t, widgets: [{{type: number, metric: "{name}"}}]}}]}}]
"""
    assert load_text(said).config.signals[0].signal == name
