"""Which of two experiments' answers a judge prefers: the cost first, then the verdicts, kept with the later experiment."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.server.doubles import NOW, Rig, rig
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.model.prompt import Prompt
from watchkeeper.store.records import experiments


def longer(prompt: Prompt) -> str:
    a, b = re.findall(r"<<<[0-9a-f]{20} ANSWER [AB]>>>\n(.*?)\n<<<end", prompt.turns[0].text, re.DOTALL)
    return json.dumps({"reasoning": "length", "better": "A" if len(a) > len(b) else "B"})


def run_of(name: str, outputs: list[str]) -> dict[str, Any]:
    results = [
        {
            "case_id": f"c{i}",
            "case_hash": f"h{i}",
            "input": f"question {i}",
            "output": o,
            "expected": None,
            "scores": {},
        }
        for i, o in enumerate(outputs)
    ]
    return {"id": f"exp_{name}", "project": "default", "name": name, "dataset": "d", "dataset_version": 1, "target": "t",
            "verdict": None, "created_ns": NOW, "finished_ns": NOW, "results": results, "metrics": []}  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    made = rig(tmp_path)
    for one in (
        run_of("before", ["old"] * 6),
        run_of("after", ["old", *(f"a new answer {i}" for i in range(5))]),
    ):
        made.services.records.write_now(lambda c, x=one: experiments.save(c, x))
    return made


@pytest.mark.parametrize(
    ("model", "said"),
    [("opnai:m", "did you mean 'openai'?"), ("m", "allowed: "), ("openai:", "write openai:model")],
)
async def test_a_model_that_nobody_has_is_refused_alike_wherever_it_is_named(
    served: Rig, model: str, said: str
) -> None:
    served.services.ask = FakeProvider().ask
    async with served.client(served.key("editor")) as client:
        answers = [
            await client.get("/api/models", params={"model": model}),
            await client.post("/api/experiments/after/prefer", json={"against": "before", "model": model}),
        ]
    assert [a.status_code for a in answers] == [404, 400]
    assert said in answers[0].json()["hint"] == answers[1].json()["hint"]


async def test_the_cost_is_shown_and_the_verdicts_are_kept(served: Rig) -> None:
    provider = FakeProvider(answer=longer)
    served.services.ask = provider.ask
    path, body = "/api/experiments/after/prefer", {"against": "before", "model": "fake:judge"}
    async with served.client(served.key("editor")) as client:
        planned = (await client.post(path, json=body)).json()
        assert planned == {"asked": False, "planned": planned["planned"]} and provider.replies == 0
        assert (planned["planned"]["pairs"], planned["planned"]["calls"]) == (5, 10)
        made = (await client.post(path, json={**body, "confirm": True})).json()
        assert (made["better"], made["worse"], made["calls"]) == (5, 0, 10)
        assert "later better 5, earlier better 0" in made["report"]["text"]
        for wrong, status in (
            ({**body, "model": "nocolon"}, 400),
            ({**body, "against": "none"}, 404),
            ({"model": "a:b"}, 400),
        ):
            assert (await client.post(path, json=wrong)).status_code == status
    async with served.client(served.key("viewer")) as client:
        assert (await client.post(path, json=body)).status_code == 403
    assert provider.replies == 10
    kept = served.services.records.read_now(lambda c: experiments.get(c, "default", "after"))
    assert (
        kept is not None
        and [p["against"] for p in kept["preferences"]] == ["exp_before"]
        and len(kept["results"]) == 6
    )
