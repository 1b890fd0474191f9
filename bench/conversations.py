"""Traffic made of real text: the shared conversations as an agent would send them, and the same text without repetition.

The shapes of the spans are those of `bench.ingest.Traffic`; only what stands in them differs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.ingest import Traffic

Message = tuple[str, str]
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
