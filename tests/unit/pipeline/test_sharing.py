"""One project that sends too much gets in nobody else's way."""

import msgspec

from watchkeeper.pipeline.sharing import OVER, Shares, Turns

MAX = 1_000_000


class Item(msgspec.Struct):
    project: str
    number: int


def test_projects_take_turns_whoever_came_first() -> None:
    turns: Turns[Item] = Turns()
    for n in range(20):
        turns.append(Item("loud", n))
    turns.append(Item("quiet", 0))
    turns.append(Item("other", 0))
    order = [turns.popleft() for _ in range(5)]
    assert [i.project for i in order] == ["loud", "quiet", "other", "loud", "loud"]
    assert [i.number for i in order if i.project == "loud"] == [0, 1, 2]


def simulated(loud: int, seconds: int = 60, drain: int = 400_000) -> dict[str, tuple[int, int]]:
    """Three quiet projects send 20 kB five times a second, one `loud` times as often; `drain` bytes a second are stored, in turns.
    Taken and refused requests of each."""
    shares = Shares(MAX)
    waiting: dict[str, list[int]] = {p: [] for p in ("loud", "a", "b", "c")}
    counts = {p: [0, 0] for p in waiting}
    for step in range(seconds * 5):
        now = step / 5
        for n in range(loud):
            _ask(shares, "loud", now + n / 1e4, waiting, counts)
        for project in "abc":
            _ask(shares, project, now + 0.01, waiting, counts)
        left = drain // 5
        while left > 0 and any(waiting.values()):
            for project, line in waiting.items():
                if line and left > 0:
                    left -= line[0]
                    shares.release(project, line.pop(0))
        assert shares.held <= OVER * MAX
    return {p: (taken, refused) for p, (taken, refused) in counts.items()}


def _ask(
    shares: Shares, project: str, now: float, waiting: dict[str, list[int]], counts: dict[str, list[int]]
) -> None:
    if shares.admit(project, 20_000, now) is not None:
        counts[project][1] += 1
        return
    shares.arrived(project, 20_000)
    shares.hold(project, 20_000, now)
    waiting[project].append(20_000)
    counts[project][0] += 1


def test_at_twenty_times_the_rate_of_the_others_only_the_loud_one_is_refused() -> None:
    found = simulated(loud=20)
    assert all(found[p] == (300, 0) for p in "abc"), found
    taken, refused = found["loud"]
    assert refused > taken > 250, "it still gets what the others leave"


def test_nobody_is_refused_while_there_is_room() -> None:
    assert all(refused == 0 for _, refused in simulated(loud=1).values())


def test_a_newcomer_gets_in_although_another_filled_everything() -> None:
    shares = Shares(MAX)
    while shares.admit("loud", 50_000, 0.0) is None:
        shares.arrived("loud", 50_000)
        shares.hold("loud", 50_000, 0.0)
    assert shares.held == MAX
    assert shares.admit("quiet", 50_000, 0.1) is None
    assert shares.admit("loud", 50_000, 0.1) is not None


def test_a_quota_bounds_the_average_and_says_when_to_come_back() -> None:
    shares = Shares(100 * MAX, lambda project: 100_000 if project == "bounded" else None)
    taken = 0
    for step in range(600):
        now = step / 10
        busy = shares.admit("bounded", 50_000, now)
        if busy is None:
            shares.arrived("bounded", 50_000)
            shares.hold("bounded", 50_000, now)
            shares.release("bounded", 50_000)
            taken += 50_000
        else:
            assert busy.quota and busy.retry_after in range(1, 6)
        assert shares.admit("free", 50_000, now) is None
        shares.arrived("free", 50_000)
    assert 60 * 100_000 <= taken <= 66 * 100_000, "the rate for a minute, and a burst of five seconds once"


def test_what_a_project_owes_of_its_quota_outlives_its_silence() -> None:
    shares = Shares(100 * MAX, lambda _project: 1000)
    taken = 0
    for now in range(0, 600, 11):
        if shares.admit("p", 20_000, now) is None:
            shares.arrived("p", 20_000)
            shares.hold("p", 20_000, now)
            shares.release("p", 20_000)
            taken += 20_000
    assert taken <= 600 * 1000 + 5 * 1000 + 20_000


def test_who_is_late_holds_no_more_than_what_came_and_keeps_nobody_out() -> None:
    shares = Shares(MAX)
    for _ in range(100):
        if shares.admit("p", MAX // 10, 0.0) is None:
            shares.smaller("p", MAX // 10, 1000)
    for _ in range(1000):
        assert shares.admit("p", MAX // 5, 0.0) is None, "also after many others came and went"
        shares.arrived("p", MAX // 5)
    for _ in range(100):
        shares.arrived("p", 1000)
    assert not shares.coming(0.0)


def test_a_body_that_outgrows_what_it_reserved_is_held_to_the_same_bound() -> None:
    shares = Shares(MAX)
    small = 50_000
    taken = [n for n in range(5) if shares.admit("p", small, 0.0) is None]
    assert len(taken) == 5 and shares.larger("p", small, MAX // 2, 0.0) is None
    busy = shares.larger("p", small, MAX // 2, 0.0)
    assert busy is not None and not busy.quota, "two of half of it and three others are more than all"
    assert shares.admit("p", 300_000, 0.0) is None, "what was refused reserves no more than before"
    assert shares.admit("p", small, 0.0) is not None
    for size in (*[small] * 4, MAX // 2, 300_000):
        shares.arrived("p", size)
    assert shares.admit("p", MAX, 0.0) is None, "and nothing is left of any of them"


def test_a_lone_body_may_become_larger_than_everything() -> None:
    shares = Shares(MAX)
    assert shares.admit("p", 1000, 0.0) is None
    assert shares.larger("p", 1000, 2 * MAX, 0.0) is None
    assert shares.admit("p", 1000, 0.0) is not None
    shares.arrived("p", 2 * MAX)
    assert shares.larger("p", 1000, MAX, 0.0) is None, "what arrived has nothing reserved"
