from collections.abc import Iterator

import pytest

from watchkeeper.model.alert import Alert, Deploy, Moved, Notification
from watchkeeper.store.records import alerts, incidents, outbox, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    found = Records(records_url)
    metadata.create_all(found.engine)
    yield found
    found.close()


def an_alert(name: str = "a1", state: str = "firing", project: str = "default", updated: int = 5) -> Alert:
    moved = [Moved("a", 8.2, 8.1, 8.3, 4000, 6.5, 6.3, 6.7, 400, "", True)]
    return Alert(
        name, project, "relevance", {"prompt_version": "v2"}, state, "page", "ml", "r.md", "a < 7", 1,
        updated_ns=updated, moved=moved, deploys=[Deploy(project, "prompt", "v2", 1)], evidence={"group": "g"},
    )  # fmt: skip


def a_message(
    name: str, created: int, group: str = "g", route: str = "slack", event: str = "firing"
) -> Notification:
    return Notification(
        name, "default", "a1", group, route, event, "s", "t", {"x": name}, created, 0, created
    )


def test_an_alert_comes_back_as_it_was(records: Records) -> None:
    records.write_now(lambda c: alerts.save(c, an_alert()))
    assert records.read_now(lambda c: alerts.get(c, "default", "a1")) == an_alert()
    assert records.read_now(lambda c: alerts.get(c, "other", "a1")) is None


def test_an_acknowledgement_is_not_lost_to_a_writer_that_did_not_know(records: Records) -> None:
    records.write_now(lambda c: alerts.save(c, an_alert()))
    records.write_now(lambda c: alerts.acknowledge(c, "default", "a1", "ann", 7))
    records.write_now(lambda c: alerts.acknowledge(c, "default", "a1", "bob", 8))
    records.write_now(lambda c: alerts.save(c, an_alert(state="resolved", updated=9)))
    found = records.read_now(lambda c: alerts.get(c, "default", "a1"))
    assert found is not None and (found.state, found.acknowledged_by) == ("resolved", "ann")
    undone = records.write_now(lambda c: alerts.unacknowledge(c, "default", "a1"))
    assert undone is not None and undone.acknowledged_ns is None


def test_alerts_are_listed_by_state_and_project(records: Records) -> None:
    for made in (
        an_alert("a", "firing", updated=1),
        an_alert("b", "resolved", updated=3),
        an_alert("c", project="p2"),
    ):
        records.write_now(lambda c, made=made: alerts.save(c, made))
    listed = records.read_now(lambda c: [a.id for a in alerts.find(c, "default")])
    firing = records.read_now(lambda c: [a.id for a in alerts.find(c, "default", alerts.OPEN)])
    assert (listed, firing) == (["b", "a"], ["a"])
    assert records.read_now(lambda c: alerts.counts(c, "default")) == {"firing": 1, "resolved": 1}


def test_silences_need_a_matcher_and_an_end(records: Records) -> None:
    for matchers, ends in (({}, 5), ({"monitor": "m"}, 0)):
        with pytest.raises(ValueError, match="silence"):
            records.write_now(lambda c, m=matchers, e=ends: alerts.add_silence(c, "default", m, 1, e, "ann"))
    row = records.write_now(lambda c: alerts.add_silence(c, "default", {"monitor": "m"}, 1, 50, "ann"))
    assert records.read_now(lambda c: alerts.list_silences(c, "default", 10)) == [row]
    assert records.write_now(lambda c: alerts.end_silence(c, "default", row.id, 20))
    assert records.read_now(lambda c: alerts.list_silences(c, "default", 20)) == []


def test_the_same_notification_is_queued_once(records: Records) -> None:
    added = [records.write_now(lambda c: outbox.enqueue(c, a_message("n1", 5))) for _ in range(2)]
    assert added == [True, False]


def test_only_the_newest_message_of_a_group_is_sent(records: Records) -> None:
    for name, at, event in (("n1", 1, "firing"), ("n2", 2, "updated"), ("n3", 3, "resolved")):
        records.write_now(lambda c, n=name, t=at, e=event: outbox.enqueue(c, a_message(n, t, event=e)))
    records.write_now(lambda c: outbox.enqueue(c, a_message("m1", 1, group="h")))
    records.write_now(lambda c: outbox.enqueue(c, a_message("p1", 1, route="pager")))
    claimed = records.write_now(lambda c: outbox.claim(c, 10, 100))
    assert sorted(n.id for n in claimed) == ["m1", "n3", "p1"]
    statuses = {n.id: s for s, n in records.read_now(lambda c: outbox.find(c, "default"))}
    assert (statuses["n1"], statuses["n2"]) == ("superseded", "superseded")


def test_a_claim_is_exclusive_until_its_lease_ends(records: Records) -> None:
    records.write_now(lambda c: outbox.enqueue(c, a_message("n1", 1)))
    assert len(records.write_now(lambda c: outbox.claim(c, 10, 100))) == 1
    assert records.write_now(lambda c: outbox.claim(c, 50, 100)) == []
    # A newer message of the same group waits too, so that a group's messages stay in order.
    records.write_now(lambda c: outbox.enqueue(c, a_message("n2", 60)))
    assert records.write_now(lambda c: outbox.claim(c, 70, 100)) == []
    again = records.write_now(lambda c: outbox.claim(c, 111, 100))
    assert [n.id for n in again] == ["n2"]


def test_outcomes_are_recorded(records: Records) -> None:
    for name in ("n1", "n2", "n3"):
        records.write_now(lambda c, n=name: outbox.enqueue(c, a_message(n, 1, group=n)))
    records.write_now(lambda c: outbox.claim(c, 10, 100))
    assert records.write_now(lambda c: outbox.delivered(c, "n1", 11))
    assert records.write_now(lambda c: outbox.retry(c, "n2", 40, "down"))
    assert records.write_now(lambda c: outbox.dead(c, "n3", "gone"))
    assert not records.write_now(lambda c: outbox.delivered(c, "n1", 12))
    figures = records.read_now(lambda c: outbox.summary(c, 2 * 10**9))
    assert (figures["delivered"], figures["due"], figures["dead"]) == (1, 1, 1)
    assert figures["oldest_undelivered_s"] == pytest.approx(2.0, abs=1e-6)
    assert [n.attempts for n in records.write_now(lambda c: outbox.claim(c, 40, 100))] == [2]
    assert records.write_now(lambda c: outbox.requeue(c, "default", 50, "n3"))
    assert [n.id for n in records.write_now(lambda c: outbox.claim(c, 50, 100))] == ["n3"]


def test_states_are_documents_by_project_kind_and_key(records: Records) -> None:
    records.write_now(lambda c: states.put_all(c, "default", "baseline", {"a": [1], "b": {"x": None}}, 1))
    records.write_now(lambda c: states.put_all(c, "default", "baseline", {"b": {"x": 2}, "c": 0.1}, 2))
    records.write_now(lambda c: states.put(c, "other", "baseline", "a", "theirs", 2))
    assert records.read_now(lambda c: states.get_all(c, "default", "baseline")) == {
        "a": [1],
        "b": {"x": 2},
        "c": 0.1,
    }
    assert records.read_now(lambda c: states.get(c, "default", "watch", "a")) is None
    assert records.write_now(lambda c: states.delete(c, "default", "baseline", ["a", "zz"])) == 1
    with pytest.raises(ValueError, match="512"):
        records.write_now(lambda c: states.put(c, "default", "k", "x" * 513, 1, 1))


def test_an_incident_opens_once_per_group_and_keeps_its_story(records: Records) -> None:
    def opened(at: int) -> str:
        return records.write_now(
            lambda c: incidents.open_for(c, "default", "g", "relevance fell", "page", "ml", at, "w", ("a",))
        )

    first = opened(1)
    assert opened(2) == first
    records.write_now(lambda c: incidents.note(c, "default", first, 3, "comment", "ann", "looking"))
    records.write_now(lambda c: incidents.note(c, "default", first, 3, "comment", "ann", "looking"))
    assert records.write_now(lambda c: incidents.change(c, "default", first, "acknowledged", 4, "ann"))
    assert records.write_now(
        lambda c: incidents.change(c, "default", first, "resolved", 5, "ann", "rolled back")
    )
    assert not records.write_now(lambda c: incidents.change(c, "default", first, "resolved", 6, "ann"))
    assert not records.write_now(lambda c: incidents.change(c, "default", first, "acknowledged", 6, "ann"))
    assert opened(7) == first
    found = records.read_now(lambda c: incidents.get(c, "default", first))
    assert found is not None and found[0].status == "open" and found[0].closed_ns is None
    assert [e.kind for e in found[1]] == ["opened", "comment", "acknowledged", "resolved", "reopened"]
    assert found[0].document["alerts"] == ["a"]


def test_whoever_takes_an_alert_takes_its_incident(records: Records) -> None:
    made = records.write_now(
        lambda c: incidents.open_for(c, "default", "g", "t", "page", "ml", 1, "w", ("a",))
    )
    records.write_now(lambda c: incidents.on_alert_taken(c, "default", "g", 2, "ann", "took it"))
    records.write_now(lambda c: incidents.on_alert_taken(c, "default", "other", 2, "ann", "took it"))
    assert records.read_now(lambda c: incidents.counts(c, "default")) == {"acknowledged": 1}
    records.write_now(lambda c: incidents.on_alert_taken(c, "default", "g", 3, "ann", "gave it back", False))
    found = records.read_now(lambda c: incidents.get(c, "default", made))
    assert found is not None and found[0].status == "open"


def test_a_form_sent_twice_opens_one_incident(records: Records) -> None:
    def opened(at: int, metric: str = "m", owner: str = "ml") -> str:
        about = {"metric": metric, "cohort": {}, "since_ns": at}
        return records.write_now(
            lambda c: incidents.open_by_hand(c, "default", "short", "warn", owner, at, "ann", about)
        )

    assert opened(10**10) == opened(10**10 + 5 * 10**9) != opened(10**12)
    assert len(records.read_now(lambda c: incidents.find(c, "default", incidents.UNRESOLVED))) == 2
    # Who opens one about each of several metrics, by a script, has as many.
    assert len({opened(10**10), opened(10**10, "latency_ms"), opened(10**10, owner="ops")}) == 3
