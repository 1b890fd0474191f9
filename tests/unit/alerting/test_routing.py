import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.alerting.message import notifications, subject_of
from watchkeeper.alerting.routing import (
    Message,
    Routes,
    Silence,
    Told,
    acknowledge,
    alert_id,
    due_message,
    group_for,
    group_key,
    inhibitor,
    silenced,
)
from watchkeeper.model.alert import Alert

HOUR = 3600 * 10**9
ROUTES = Routes(page=("pager",), warn=("slack",), escalation=("boss",))


def alert(name: str = "relevance", state: str = "firing", **change: object) -> Alert:
    facts: dict[str, object] = {
        "id": f"id-{name}",
        "project": "default",
        "monitor": name,
        "cohort": {"prompt_version": "v2"},
        "state": state,
        "severity": "warn",
        "owner": "support-ml",
        "runbook": "r.md",
        "condition": "a < 7",
        "since_ns": 100 * HOUR,
        "onset_ns": 100 * HOUR,
        "fired_ns": 101 * HOUR,
        "summary": f"{name} fell",
        "evidence": {"group": "g"},
    }
    facts.update(change)
    return Alert(**facts)  # type: ignore[arg-type]


def follow(*steps: tuple[int, list[Alert]], **options: object) -> list[tuple[int, str, tuple[str, ...]]]:
    """What a group's readers are told over time."""
    told, heard = Told(), list[tuple[int, str, tuple[str, ...]]]()
    for hour, alerts in steps:
        message = due_message("g", alerts, told, hour * HOUR, ROUTES, **options)  # type: ignore[arg-type]
        if message is not None:
            told = message.told
            heard.append((hour, message.event, message.routes))
    return heard


def test_an_incident_is_told_once_and_its_end_once() -> None:
    heard = follow(
        (101, [alert()]), (102, [alert()]), (103, [alert(state="resolved")]), (104, [alert(state="resolved")])
    )
    assert heard == [(101, "firing", ("slack",)), (103, "resolved", ("slack",))]


def test_what_never_fired_is_never_resolved() -> None:
    assert follow((1, [alert(state="resolved")]), (2, [alert(state="pending")]), (3, [])) == []


def test_alerts_of_one_cohort_and_onset_share_one_message() -> None:
    steps, relevance = alert("steps"), alert("relevance")
    heard = follow(
        (101, [relevance]),
        (102, [relevance, steps]),
        (103, [alert("relevance", "resolved"), steps]),
        (104, [alert("relevance", "resolved"), alert("steps", "resolved")]),
    )
    assert [event for _, event, _ in heard] == ["firing", "resolved"]


def test_a_page_that_joins_goes_to_the_pager_too() -> None:
    heard = follow((101, [alert()]), (102, [alert(), alert("safety", severity="page")]))
    assert heard[-1] == (102, "updated", ("pager", "slack"))


def test_the_monitors_own_routes_come_before_the_severitys() -> None:
    assert follow((101, [alert(routes=["mail"])])) == [(101, "firing", ("mail",))]


def test_it_reminds_until_someone_acknowledges() -> None:
    seen = acknowledge(alert(), "ann", 110 * HOUR)
    heard = follow(
        (101, [alert()]), (104, [alert()]), (105, [alert()]), (109, [alert()]), (113, [seen]), (120, [seen]), renotify=4 * HOUR
    )  # fmt: skip
    assert [(h, e) for h, e, _ in heard] == [(101, "firing"), (105, "reminder"), (109, "reminder")]
    assert seen.acknowledged_by == "ann" and acknowledge(seen, "bob", 1).acknowledged_by == "ann"


def test_an_unanswered_page_escalates_once() -> None:
    page = alert(severity="page")
    heard = follow((101, [page]), (102, [page]), (103, [page]), response_time=HOUR)
    assert heard == [(101, "firing", ("pager",)), (102, "escalated", ("pager", "boss"))]


def test_the_time_to_answer_begins_when_somebody_is_asked() -> None:
    page = alert(severity="page")
    late = follow((105, [page]), (106, [page]), (107, [page]), response_time=2 * HOUR)
    assert late == [(105, "firing", ("pager",)), (107, "escalated", ("pager", "boss"))]
    risen = follow((101, [alert()]), (104, [page]), (105, [page]), (106, [page]), response_time=2 * HOUR)
    assert [(h, e) for h, e, _ in risen] == [(101, "firing"), (104, "updated"), (106, "escalated")]


def test_who_heard_of_a_page_by_escalation_hears_its_end_and_nobody_else() -> None:
    page, over = alert(severity="page"), alert(severity="page", state="resolved")
    heard = follow(
        (101, [page]), (102, [page]), (103, [over]), (104, [page]), (105, [over]), response_time=HOUR
    )
    ends = [(hour, routes) for hour, event, routes in heard if event == "resolved"]
    assert ends == [(103, ("pager", "boss")), (105, ("pager",))]


def silence(**matchers: str) -> Silence:
    return Silence("s", tuple(matchers.items()), 100 * HOUR, 105 * HOUR, "ann")


@pytest.mark.parametrize(
    ("matchers", "covers"),
    [
        ({"monitor": "relevance"}, True),
        ({"monitor": "other"}, False),
        ({"prompt_version": "v2", "owner": "support-ml"}, True),
        ({"prompt_version": "v1"}, False),
        ({"monitor": "~rel*"}, True),
        ({"monitor": "~re.evance"}, False),
        ({"region": "eu"}, False),
        ({}, False),
    ],
)
def test_a_silence_matches_exactly_what_it_says(matchers: dict[str, str], covers: bool) -> None:
    assert (silenced(alert(), [silence(**matchers)], 101 * HOUR) is not None) is covers


def test_a_silence_ends_and_then_the_alert_is_told() -> None:
    heard = follow((101, [alert()]), (105, [alert()]), silences=[silence(monitor="relevance")])
    assert heard == [(105, "firing", ("slack",))]


def test_a_resolution_of_what_was_told_is_told_through_a_silence() -> None:
    told = Told("firing", ("id-relevance",), 99 * HOUR, "warn")
    late = [silence(monitor="relevance")]
    message = due_message("g", [alert(state="resolved")], told, 102 * HOUR, ROUTES, silences=late)
    assert message is not None and message.event == "resolved"
    assert due_message("g", [alert()], told, 102 * HOUR, ROUTES, silences=late) is None


def test_an_alert_joins_the_open_group_of_its_cohort_near_its_onset() -> None:
    first = alert("relevance")
    near = alert("steps", onset_ns=98 * HOUR, evidence={})
    assert group_for(near, [first]) == "g"
    assert group_for(alert("steps", evidence={"group": "mine"}), [first]) == "mine"
    own = group_key("default", (("prompt_version", "v2"),), 80 * HOUR)
    assert group_for(alert("steps", onset_ns=80 * HOUR, evidence={}), [first]) == own
    assert group_for(alert("steps", cohort={}, evidence={}), [first]) != "g"
    assert group_for(alert("steps", evidence={}), [alert(state="resolved")]) != "g"


def test_a_wider_alert_that_was_told_covers_the_narrower() -> None:
    wide, narrow = alert(id="wide", cohort={}), alert(id="narrow")
    assert inhibitor(narrow, [wide, narrow]) is wide
    assert inhibitor(wide, [wide, narrow]) is None
    assert inhibitor(narrow, [changed(wide, state="resolved")]) is None
    assert inhibitor(narrow, [changed(wide, onset_ns=1)]) is None
    assert inhibitor(changed(narrow, severity="page"), [wide]) is None


def changed(found: Alert, **change: object) -> Alert:
    import msgspec

    return msgspec.structs.replace(found, **change)


def test_one_incident_has_one_id() -> None:
    same = alert_id("p", "m", (("a", "b"),), 5)
    assert same == alert_id("p", "m", (("a", "b"),), 5)
    assert (
        len(
            {
                same,
                alert_id("q", "m", (("a", "b"),), 5),
                alert_id("p", "m", (), 5),
                alert_id("p", "m", (("a", "b"),), 6),
            }
        )
        == 4
    )


def test_replaying_a_tick_makes_the_same_notifications() -> None:
    message = due_message("g", [alert(severity="page", routes=["a", "b"])], Told(), 101 * HOUR, ROUTES)
    assert message is not None
    once, twice = (notifications(message, "default", 101 * HOUR) for _ in range(2))
    assert [n.id for n in once] == [n.id for n in twice]
    assert {n.dedup_key for n in once} == {"g"} and [n.route for n in once] == ["a", "b"]
    assert subject_of(message) == "[PAGE] relevance · prompt_version v2"


STATES = st.sampled_from(["ok", "pending", "firing", "firing", "resolved"])
HISTORY = st.lists(
    st.tuples(st.integers(0, 6), st.lists(STATES, min_size=2, max_size=2), st.booleans()), max_size=25
)


def model(
    steps: list[tuple[int, list[Alert]]], renotify: int, silences: list[Silence]
) -> list[tuple[int, str]]:
    """Notifications of a group written as plain sentences over the whole past, without `Told`."""
    said: list[tuple[int, str]] = []
    for hour, alerts in steps:
        now = hour * HOUR
        hidden = {a.id for a in alerts if any(s.covers(a, now) for s in silences)}
        on = {a.id for a in alerts if a.state == "firing"}
        loud = on - hidden
        open_ = bool(said) and said[-1][1] != "resolved"
        if not on and open_:
            said.append((hour, "resolved"))
        elif loud and not open_:
            said.append((hour, "firing"))
        elif loud and open_ and hour * HOUR - said[-1][0] * HOUR >= renotify:
            said.append((hour, "reminder"))
    return said


@settings(max_examples=1500, deadline=None)
@given(HISTORY, st.integers(1, 8), st.booleans())
def test_what_is_told_equals_the_reference(
    history: list[tuple[int, list[str], bool]], renotify: int, with_silence: bool
) -> None:
    hour, steps = 100, list[tuple[int, list[Alert]]]()
    for step, states, _ in history:
        hour += step + 1
        steps.append((hour, [alert(f"m{i}", state, severity="warn") for i, state in enumerate(states)]))
    silences = [Silence("s", (("monitor", "m0"),), 105 * HOUR, 120 * HOUR, "ann")] if with_silence else []
    told, heard = Told(), list[tuple[int, str]]()
    for at, alerts in steps:
        message = due_message("g", alerts, told, at * HOUR, ROUTES, renotify * HOUR, None, silences)
        if isinstance(message, Message):
            told = message.told
            heard.append((at, message.event))
    assert heard == model(steps, renotify * HOUR, silences)


def test_told_is_plain_data() -> None:
    assert Told(**dataclasses.asdict(Told("firing", ("a",), 1, "warn"))) == Told("firing", ("a",), 1, "warn")
