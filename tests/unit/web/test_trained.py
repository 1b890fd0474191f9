"""Trained classifiers' page and API: a version decides only where it is shown to be as good as its judge."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.unit.server.doubles import NOW, Rig, rig
from watchkeeper.model.series import Estimate
from watchkeeper.model.trained import Comparison, Trained, Weights
from watchkeeper.pipeline.calibrate import Calibrator
from watchkeeper.pipeline.train import TrainFlow
from watchkeeper.scoring.registry import build
from watchkeeper.store.records import trained

WEIGHTS = Weights((0.0,), (0.0,), (1.0,), 0.0, 0.5, "test")


def version(number: int, verdict: str, state: str = "candidate", difference: float = 0.02) -> Trained:
    share = Estimate(0.9, 0.84, 0.94, 120, 120.0)
    compared = Comparison(
        truth="people", n=120, good=80, agreement=share, recall_good=share, recall_bad=None, auroc=share,
        judge_agreement=share, difference=Estimate(difference, difference - 0.03, difference + 0.03, 120, 120.0),
        verdict=verdict,
    )  # fmt: skip
    return Trained(
        project="default", name="fast", version=number, judge="helpful", created_ns=NOW, author="ana", trained_on=300,
        from_people=120, from_judge=180, weights=WEIGHTS, comparison=compared, state=state,
    )  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    made = rig(tmp_path)
    s = made.services
    for one in (version(1, "as_good", "measuring"), version(2, "worse", difference=-0.2)):
        s.records.write_now(lambda c, one=one: trained.save(c, one))

    async def changed() -> None:
        return None

    s.train = TrainFlow(s.columns, s.records, lambda: NOW, trained.calibration_traces, changed)
    return made


@pytest_asyncio.fixture
async def editor(served: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with served.client(served.key("editor")) as made:
        yield made


def states(served: Rig) -> dict[int, str]:
    found = served.services.records.read_now(lambda c: trained.versions(c, "default"))
    return {t.version: t.state for t in found}


async def test_every_version_stands_beside_its_judge(editor: httpx.AsyncClient) -> None:
    page = (await editor.get("/trained")).text
    assert "as good as its judge" in page and "worse than its judge" in page
    assert "120 by people" in page and "180 by helpful" in page and "stands in for helpful" in page
    assert page.count('value="decide"') == 1 and "no bad answer is held out" in page


async def test_a_version_that_is_as_good_may_decide_and_another_may_not(
    editor: httpx.AsyncClient, served: Rig
) -> None:
    refused = await editor.post("/api/trained/fast/2", json={"action": "decide"})
    assert refused.status_code == 409 and states(served) == {1: "measuring", 2: "candidate"}
    said = await editor.post("/trained/fast/2", data={"action": "decide"}, follow_redirects=True)
    assert "must surely lose less than" in said.text and states(served)[2] == "candidate"
    done = await editor.post("/trained/fast/1", data={"action": "decide"}, follow_redirects=True)
    assert "fast version 1 decides" in done.text and states(served) == {1: "active", 2: "candidate"}
    await editor.post("/trained/fast/2", data={"action": "measure"})
    assert states(served) == {1: "retired", 2: "measuring"}
    await editor.post("/trained/fast/2", data={"action": "stop"})
    assert states(served) == {1: "retired", 2: "retired"}
    assert (await editor.post("/trained/fast/9", data={"action": "stop"})).status_code == 404
    assert (await editor.post("/trained/fast/1", data={"action": "fly"})).status_code == 400


async def test_what_cannot_be_trained_is_said_in_words(editor: httpx.AsyncClient) -> None:
    bad = await editor.post("/trained", data={"name": "not a name!"})
    assert bad.status_code == 400 and "name:" in bad.text
    floor = await editor.post("/trained", data={"name": "ok", "floor": "high"})
    assert floor.status_code == 400 and "floor: a number is needed" in floor.text


async def test_examples_are_on_the_scale_of_a_judge_that_there_is(
    served: Rig, editor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = build({"name": "share", "type": "llm_judge", "model": "a:b", "rubric": "faithfulness"})
    served.services.scorers = Calibrator(
        served.services.records, served.services.columns, lambda _: (judge,), load=None, clock=lambda: NOW  # type: ignore[arg-type]
    )  # fmt: skip
    asked: list[tuple[float, float]] = []

    async def made(_c: object, _r: object, _p: str, _n: int, low: float, high: float) -> list[object]:
        asked.append((low, high))
        return []

    monkeypatch.setattr("watchkeeper.server.api.trained.examples", made)
    assert (await editor.get("/api/examples?judge=share")).status_code == 200
    assert (await editor.get("/api/examples?low=1&high=5")).status_code == 200
    assert asked == [(0.0, 1.0), (1.0, 5.0)]
    gone = await editor.get("/api/examples?judge=nope")
    assert gone.status_code == 404 and "judges: share" in gone.json()["hint"]


async def test_a_viewer_sees_and_changes_nothing(served: Rig) -> None:
    async with served.client(served.key("viewer")) as viewer:
        page = await viewer.get("/trained")
        assert (
            page.status_code == 200
            and 'value="decide"' not in page.text
            and "Train</button>" not in page.text
        )
        assert (await viewer.post("/trained/fast/1", data={"action": "decide"})).status_code == 403
