"""A provider for tests and demos: scripted behaviour, every call on record, no network."""

import asyncio
import re
from collections.abc import Callable, Iterable

import msgspec

from watchkeeper.llm.port import ProviderError
from watchkeeper.model.prompt import Prompt, Reply

MODES = (
    "ok", "refuse", "500", "429", "429_retry_after", "hang", "cut", "broken_json", "out_of_range", "echo", "empty",
)  # fmt: skip


def well_formed(prompt: Prompt, points: float = 7.0) -> str:
    """A reply that fits the prompt's JSON schema: every score is `points` clipped to its range, every claim supported."""
    schema = prompt.json_schema or {}
    properties = schema.get("properties", {})
    out: dict[str, object] = {"reasoning": "The fake provider grades without reading."}
    if "claims" in properties:
        out["claims"] = [{"claim": "the answer", "why": "said so", "supported": True}]
    if "scores" in properties:
        scores = properties["scores"]["properties"]
        out["scores"] = {
            name: min(max(points, float(limits["minimum"])), float(limits["maximum"]))
            for name, limits in scores.items()
        }
    return msgspec.json.encode(out).decode()


class FakeProvider:
    """Answers by `modes` in turn, the last for ever. `hang` waits for `hang_s` and then times out; `echo` repeats its
    prompt, which is how tests see what a judge was shown. `cost` USD per reply that was given."""

    def __init__(
        self,
        modes: Iterable[str] = ("ok",),
        *,
        cost: float | None = 0.001,
        latency_s: float = 0.0,
        hang_s: float = 0.05,
        answer: Callable[[Prompt], str] | None = None,
    ) -> None:
        self._modes = list(modes)
        unknown = [m for m in self._modes if m not in MODES]
        if unknown or not self._modes:
            raise ValueError(f"modes: {unknown!r} is not allowed; any of {', '.join(MODES)}")
        self._cost = cost
        self._latency_s, self._hang_s = latency_s, hang_s
        self._answer = answer or well_formed
        self.prompts: list[Prompt] = []
        self.replies = 0
        self.in_flight = 0
        self.most_in_flight = 0

    def switch(self, *modes: str) -> None:
        """Replace the script."""
        self._modes = list(modes)

    async def ask(self, prompt: Prompt) -> Reply:
        """One scripted reply or ProviderError."""
        self.prompts.append(prompt)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            return await self._act(self._modes.pop(0) if len(self._modes) > 1 else self._modes[0], prompt)
        finally:
            self.in_flight -= 1

    async def _act(self, mode: str, prompt: Prompt) -> Reply:
        errors = {
            "refuse": ("connection", None),
            "500": ("server", None),
            "429": ("rate_limit", None),
            "429_retry_after": ("rate_limit", 0.01),
            "cut": ("connection", None),
            "broken_json": ("bad_reply", None),
        }
        if mode in errors:
            kind, wait = errors[mode]
            raise ProviderError(kind, f"scripted {mode}", wait)
        if mode == "hang":
            await asyncio.sleep(self._hang_s)
            raise ProviderError("timeout", "scripted hang")
        self.replies += 1
        text = self._text(mode, prompt)
        return Reply(
            text,
            prompt.model.partition(":")[2],
            input_tokens=100,
            output_tokens=20,
            cost=self._cost,
            finish_reason="stop",
        )

    def _text(self, mode: str, prompt: Prompt) -> str:
        if mode == "echo":
            return prompt.system + "\n" + "\n".join(t.text for t in prompt.turns)
        if mode == "empty":
            return ""
        if mode == "out_of_range":
            return re.sub(r"\d+\.\d+", "1e9", well_formed(prompt))
        return self._answer(prompt)
