import pytest

from watchkeeper.alerting.conditions import parse
from watchkeeper.alerting.monitor import HOUR, MINUTE, Monitor, MonitorError, tick_of
from watchkeeper.alerting.packs import PACKS


def made(**change: object) -> Monitor:
    facts: dict[str, object] = {"name": "m", "condition": "error_rate > 2%", "owner": "ml", "runbook": "r.md"}
    return Monitor(**(facts | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"owner": " "}, "owner", "is required"),
        ({"runbook": ""}, "runbook", "is required"),
        ({"severity": "loud"}, "severity", "page"),
        ({"by": ("colour",)}, "by", "prompt_version"),
        ({"by": ("model",), "where": (("model", "m"),)}, "where", "model"),
        ({"window": 10}, "window", "one minute"),
        ({"min_n": 0}, "min_n", "at least 1"),
        ({"condition": "error_rate >"}, "condition", "line 1, column 13"),
    ],
)
def test_a_bad_monitor_names_its_field(change: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(MonitorError) as caught:
        made(**change)
    assert caught.value.field == field and says in str(caught.value)


def test_it_knows_what_it_reads() -> None:
    monitor = made(
        condition="share(a < 7) > 5% and shift(b) = 'down' and previous_week.c > 1", window=15 * MINUTE
    )
    assert monitor.metrics == ("share(a < 7)", "b", "c")
    assert monitor.moving == ("b",) and [s.metric for s in monitor.shares] == ["a"]
    assert monitor.reach == 14 * 24 * HOUR and monitor.tick() == HOUR
    assert made(window=15 * MINUTE).tick() == 5 * MINUTE and made(window=MINUTE).tick() == 5 * MINUTE
    assert tick_of([made(), made(window=15 * MINUTE)]) == 5 * MINUTE and tick_of([]) == HOUR
    assert made(window=15 * MINUTE).tick(MINUTE) == MINUTE


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_makes_monitors_that_keep_their_owner(name: str) -> None:
    monitors = PACKS[name].monitors("team", "r.md", by=("model",), routes=("slack",))
    assert monitors and all(
        m.owner == "team" and m.runbook == "r.md" and m.routes == ("slack",) for m in monitors
    )
    assert all(parse(m.condition) for m in monitors)
    with pytest.raises(MonitorError):
        PACKS[name].monitors("", "r.md")
