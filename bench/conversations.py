"""Traffic made of real text: the shared conversations as an agent would send them, and the same text without repetition.

The shapes of the spans are those of `bench.ingest.Traffic`; only what stands in them differs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.ingest import Traffic

Message = tuple[str, str]
MODELS = (
    ("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"), ("anthropic", "claude-opus-4-1"), ("gcp.gemini", "gemini-2.5-pro"),
    ("gcp.gemini", "gemini-2.5-flash"), ("mistral_ai", "mistral-large"), ("groq", "llama-3.3-70b"),
    ("deepseek", "deepseek-chat"), ("x_ai", "grok-4"),
)  # fmt: skip
SCENARIOS = ("support", "booking", "refund", "search", "onboarding", "billing", "returns", "faq")
WINDOW = 20
"""Messages of a conversation that an agent sends along."""


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def conversations(folder: Path) -> list[list[Message]]:
    """(role, text) of every conversation in the shared data that has a user and an assistant."""
    found: list[list[Message]] = []
    for row in _lines(folder / "taubench_airline.jsonl"):
        found.append([(m["role"], m["content"]) for m in row["messages"] if m.get("content")])
    for row in _lines(folder / "taskmaster4_conversations.jsonl"):
        found.append([(m["role"], m["text"]) for m in row["messages"] if m.get("text")])
    for row in _lines(folder / "hh_harmless_dialogues.jsonl"):
        found.append([(m["role"], m["content"]) for m in row["messages"]] + [("assistant", row["chosen"])])
    for row in _lines(folder / "arena_model_versions.jsonl"):
        found += [[("user", row["prompt"]), ("assistant", text)] for text in row["answers"].values()]
    return [turns for turns in found if any(role == "assistant" for role, _ in turns[1:])]


def documents(folder: Path) -> list[str]:
    """Retrieved passages and results of tools."""
    found = [
        "\n".join(e) if isinstance(e := claim["evidence"], list) else str(e)
        for row in _lines(folder / "expertqa_claims.jsonl")
        for claim in row["claims"]
        if claim["evidence"]
    ]
    for row in _lines(folder / "sweagent_trajectories.jsonl"):
        found += [str(step["observation"]) for step in row["steps"] if step["observation"]]
    return found


class Prose(Traffic):
    """The words are those of real texts, each part from another place: nothing in a trace is said twice."""

    def __init__(self, folder: Path, seed: int = 7) -> None:
        super().__init__(seed)
        self.turns = conversations(folder)
        self.documents = documents(folder)
        self.prose = "\n".join([text for turns in self.turns for _, text in turns] + self.documents)

    def text(self, part: str, chars: int) -> str:
        start = self.dice.randrange(len(self.prose) - chars)
        return self.prose[start : start + chars]


class Conversations(Prose):
    """One turn of a conversation a trace, repeated as clients repeat it: both model calls carry the messages so far, the
    second also what the tool and the retrieval gave, and the root says the question and the answer again."""

    def trace(self, scope: Any) -> None:
        turns = self.dice.choice(self.turns)
        at = self.dice.choice([i for i, (role, _) in enumerate(turns) if i and role == "assistant"])
        self.before, self.reply = turns[max(0, at - WINDOW) : at], turns[at][1]
        self.given = {
            "document": self.dice.choice(self.documents),
            "result": self.dice.choice(self.documents),
        }
        super().trace(scope)

    def text(self, part: str, chars: int) -> str:
        if part in self.given:
            return self.given[part]
        return self.reply if part == "answer" else self.before[-1][1]

    def messages(self, part: str, chars: int) -> str:
        if part == "plan":
            said = [("assistant", "")]
        elif part == "answer":
            said = [("assistant", self.reply)]
        else:
            said = [*self.before, ("user", "Use only this:\n" + self.given["document"])]
            if part == "prompt with result":
                said.append(("tool", self.given["result"]))
        return json.dumps(
            [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in said],
            ensure_ascii=False,
        )


class Varied(Conversations):
    """Conversations with twelve models, eight scenarios and about forty attributes a span: few values and many, numbers and ids."""

    scenario = ""

    def trace(self, scope: Any) -> None:
        self.scenario = self.dice.choice(SCENARIOS)
        super().trace(scope)

    def _attributes(self, span: Any, values: dict[str, Any]) -> None:
        if "user.id" in values:
            values = values | {"watchkeeper.scenario": self.scenario} | self._surroundings()
            if "gen_ai.request.model" in values:
                values |= self._call()
            span.end_time_unix_nano = span.start_time_unix_nano + int(
                self.dice.lognormvariate(6.5, 0.9) * 1e6
            )
        super()._attributes(span, values)

    def _call(self) -> dict[str, Any]:
        dice = self.dice
        (provider, model), *_ = dice.choices(MODELS, weights=range(len(MODELS), 0, -1))
        return {
            "gen_ai.provider.name": provider, "gen_ai.request.model": model, "gen_ai.response.model": model,
            "gen_ai.response.id": f"chatcmpl-{dice.randbytes(12).hex()}", "gen_ai.request.top_p": dice.choice((0.9, 1.0)),
            "gen_ai.usage.output_tokens": dice.randrange(5, 900), "server.address": f"api.{provider}.example", "server.port": 443,
        }  # fmt: skip

    def _surroundings(self) -> dict[str, Any]:
        dice = self.dice
        return {
            "http.method": "POST", "http.route": dice.choice(("/chat", "/v1/answer", "/tickets/{id}")),
            "http.status_code": dice.choices((200, 500, 429), (94, 3, 3))[0], "net.peer.name": f"svc-{dice.randrange(40)}.internal",
            "thread.id": dice.randrange(10**6), "thread.name": f"worker-{dice.randrange(16)}",
            "code.function": dice.choice(("answer", "run", "invoke", "step")), "code.lineno": dice.randrange(900),
            "code.filepath": f"/srv/app/{dice.choice(('agent', 'tools', 'rag'))}.py", "request.id": dice.randbytes(16).hex(),
            "tenant.id": f"tenant-{dice.randrange(300)}", "tenant.tier": dice.choices(("free", "pro", "enterprise"), (70, 25, 5))[0],
            "feature.flags": ",".join(sorted(dice.sample(("a1", "b2", "c3", "d4", "e5", "f6"), 3))),
            "cloud.region": dice.choice(("eu-west-1", "us-east-1", "ap-south-1")), "retry.count": dice.choices(range(4), (94, 2, 2, 2))[0],
            "cache.hit": dice.random() < 0.3, "queue.ms": round(dice.expovariate(1 / 20), 3), "k8s.pod.name": f"bot-{dice.randrange(60)}",
            "k8s.node.name": f"node-{dice.randrange(20)}", "app.build": f"2025.11.{dice.randrange(20)}", "db.system": "postgresql",
            "app.locale": dice.choice(("en-US", "de-DE", "ja-JP", "fr-FR")), "experiment.arm": dice.choice(("control", "treatment")),
            "app.tags": json.dumps(dice.sample(("vip", "beta", "web", "ios", "android"), 2)), "cost.center": f"cc-{dice.randrange(30)}",
            "db.rows": dice.randrange(1000), "latency.budget_ms": dice.choice((1000, 2000, 5000)),
        }  # fmt: skip
