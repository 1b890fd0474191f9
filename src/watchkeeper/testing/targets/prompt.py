"""A prompt and a model as a target: a logic-less template, any OpenAI-compatible endpoint, tools from the recording."""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchkeeper.testing.recording import NotRecorded, Recording
from watchkeeper.testing.targets.answers import Answer, Case, TargetError, excused, failed, text_of
from watchkeeper.testing.targets.functions import post

_PLACE = re.compile(r"\{\{\s*([\w.\-]+)\s*\}\}")
_ROLE = re.compile(r"^\[(system|user|assistant|messages)\]\s*$")
MOST_ROUNDS = 20


@dataclass(frozen=True)
class Model:
    """A model behind an OpenAI-compatible endpoint. `price` is USD per million input and output tokens, None unknown."""

    name: str
    base_url: str = "https://api.openai.com/v1"
    api_key: str = field(default="", repr=False)
    price: tuple[float, float] | None = None
    temperature: float | None = 0.0
    max_tokens: int | None = None

    def cost(self, usage: Mapping[str, int]) -> float | None:
        """USD of a call, None when the price or the tokens are unknown."""
        if self.price is None or "input_tokens" not in usage or "output_tokens" not in usage:
            return None
        return (usage["input_tokens"] * self.price[0] + usage["output_tokens"] * self.price[1]) / 1e6


class Unfilled(Exception):
    """A case lacks what the template names."""


def _look(case: Case, path: str) -> Any:
    if path == "input":
        return text_of(case)
    found: Any = case
    for piece in path.split("."):
        if isinstance(found, Mapping) and piece in found:
            found = found[piece]
        elif isinstance(found, list) and piece.isdigit() and int(piece) < len(found):
            found = found[int(piece)]
        else:
            raise Unfilled(f"the prompt names {{{{{path}}}}}, which this case does not have")
    return found


def fill(template: str, case: Case) -> str:
    """The template with `{{path}}` replaced by the case's value (JSON where it is no text). Raises `Unfilled`."""

    def value(match: re.Match[str]) -> str:
        found = _look(case, match[1])
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return _PLACE.sub(value, template)


def parse(text: str) -> list[tuple[str, str]]:
    """A prompt file as (role, template) pairs.

    Lines `[system]`, `[user]`, `[assistant]` begin a message; `[messages]` stands for the conversation as recorded.
    A file without them is the system prompt, followed by the case's input.
    """
    made: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        role = _ROLE.match(line)
        if role:
            made.append((role[1], []))
        elif made:
            made[-1][1].append(line)
        elif line.strip():
            made.append(("system", [line]))
    found = [(role, "\n".join(lines).strip()) for role, lines in made]
    if not any(role in ("user", "messages") for role, _ in found):
        found.append(("user", "{{input}}"))
    return found


def _recorded(case: Case) -> list[dict[str, Any]]:
    """The recorded conversation up to the first answer, in the endpoint's own shape."""
    messages = (case.get("context") or {}).get("messages") or []
    made: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") == "system":
            continue
        parts = message.get("parts") or []
        text = "\n".join(p["text"] for p in parts if p.get("type") == "text" and p.get("text"))
        calls = [_asked(p) for p in parts if p.get("type") == "tool_call"]
        results = [p for p in parts if p.get("type") == "tool_result"]
        made += [
            {"role": "tool", "tool_call_id": p.get("id"), "content": _plain(p.get("result"))} for p in results
        ]
        if text or calls:
            made.append(
                {
                    "role": message.get("role"),
                    "content": text or None,
                    **({"tool_calls": calls} if calls else {}),
                }
            )
    return made or [{"role": "user", "content": str(text_of(case))}]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _asked(part: dict[str, Any]) -> dict[str, Any]:
    function = {"name": part.get("name"), "arguments": _plain(part.get("arguments") or {})}
    return {"id": part.get("id"), "type": "function", "function": function}


def messages_of(prompt: list[tuple[str, str]], case: Case) -> list[dict[str, Any]]:
    """The messages a case is asked with. Raises `Unfilled`."""
    made: list[dict[str, Any]] = []
    for role, template in prompt:
        if role == "messages":
            made += _recorded(case)
        else:
            made.append({"role": role, "content": fill(template, case)})
    return made


def _tools(case: Case) -> list[dict[str, Any]]:
    """The recorded tool definitions in the endpoint's shape."""
    made: list[dict[str, Any]] = []
    for tool in (case.get("context") or {}).get("tools") or []:
        made.append(tool if "function" in tool else {"type": "function", "function": tool})
    return made


@dataclass
class _Spent:
    tokens_in: int = 0
    tokens_out: int = 0
    known: bool = True
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def add(self, usage: Any) -> None:
        given = usage if isinstance(usage, dict) else {}
        if not all(isinstance(given.get(k), int) for k in ("prompt_tokens", "completion_tokens")):
            self.known = False
            return
        self.tokens_in += given["prompt_tokens"]
        self.tokens_out += given["completion_tokens"]

    def usage(self) -> dict[str, int]:
        return {"input_tokens": self.tokens_in, "output_tokens": self.tokens_out} if self.known else {}


def _choice(said: Any) -> tuple[dict[str, Any], str | None]:
    given: Any = said.get("choices") if isinstance(said, dict) else None
    choices: list[Any] = given if isinstance(given, list) else []
    message = choices[0].get("message") if choices and isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        raise RuntimeError("the endpoint's answer has no choices; is it OpenAI-compatible?")
    return message, choices[0].get("finish_reason")


class Prompted:
    """Asks one case of a model: the template filled, then round by round, its tool calls answered from the recording."""

    def __init__(self, path: str, model: Model, timeout: float) -> None:
        """Raises `TargetError` when the file cannot be read."""
        try:
            self.prompt = parse(Path(path).read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise TargetError(f"cannot read the prompt {path}: {error}") from None
        self.model, self.timeout = model, timeout

    def __call__(self, case: Case) -> Answer:
        try:
            messages = messages_of(self.prompt, case)
        except Unfilled as error:
            return failed(case, str(error))
        tools, spent, recording = _tools(case), _Spent(), Recording(case)
        started = time.perf_counter()
        for _ in range(MOST_ROUNDS):
            message, reason, served = self._ask(messages, tools, spent)
            calls = message.get("tool_calls") or []
            if not calls or not recording.tools:
                return self._answer(
                    case, message, calls, reason, served, spent, time.perf_counter() - started
                )
            messages.append(message)
            try:
                messages += [self._ran(call, recording, spent) for call in calls]
            except NotRecorded as error:
                usage = spent.usage()
                return {**excused(case, str(error)), "usage": usage, "cost": self.model.cost(usage)}
        return failed(case, f"the model still asked for tools after {MOST_ROUNDS} rounds")

    def _ask(
        self, messages: list[Any], tools: list[Any], spent: _Spent
    ) -> tuple[dict[str, Any], str | None, Any]:
        body: dict[str, Any] = {"model": self.model.name, "messages": messages}
        if tools:
            body["tools"] = tools
        reasoning = self.model.name.startswith(("o1", "o3", "o4", "gpt-5"))  # they refuse a temperature
        if self.model.temperature is not None and not reasoning:
            body["temperature"] = self.model.temperature
        if self.model.max_tokens is not None:
            body["max_completion_tokens" if reasoning else "max_tokens"] = self.model.max_tokens
        headers = {"authorization": f"Bearer {self.model.api_key}"} if self.model.api_key else {}
        said, _ = post(self.model.base_url.rstrip("/") + "/chat/completions", body, headers, self.timeout)
        message, reason = _choice(said)
        spent.add(said.get("usage"))
        return message, reason, said.get("model")

    def _ran(self, call: dict[str, Any], recording: Recording, spent: _Spent) -> dict[str, Any]:
        function = call.get("function") or {}
        name, arguments = str(function.get("name")), function.get("arguments")
        result = recording.call(name, arguments)
        spent.calls.append(
            {"id": call.get("id"), "name": name, "arguments": _parsed(arguments), "result": result}
        )
        return {"role": "tool", "tool_call_id": call.get("id"), "content": _plain(result)}

    def _answer(
        self, case: Case, message: dict[str, Any], calls: list[Any], reason: str | None, served: Any, spent: _Spent,
        seconds: float,
    ) -> Answer:  # fmt: skip
        usage = spent.usage()
        asked = [
            {
                "id": c.get("id"),
                "name": (c.get("function") or {}).get("name"),
                "arguments": _parsed((c.get("function") or {}).get("arguments")),
            }
            for c in calls
        ]
        given = {
            "output": message.get("content") or "", "tool_calls": [*spent.calls, *asked] or None, "finish_reason": reason,
            "model": str(served or self.model.name), "usage": usage or None, "cost": self.model.cost(usage),
            "latency_ms": seconds * 1000,
        }  # fmt: skip
        return {"case_id": case["id"], **{k: v for k, v in given.items() if v is not None}}


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def find_model(
    given: str | None,
    base_url: str | None,
    key_env: str | None,
    price: str | None,
    temperature: float | None,
    max_tokens: int | None,
    provider: Callable[[str], dict[str, Any]],
) -> Model:
    """The model of `--model`: `provider:model` of the server's configuration, or a bare name at `--base-url`.

    `provider(model)` answers base_url, key_env and price of a configured provider; the key itself is always the one of
    this process's environment. Raises `TargetError`.
    """
    if not given:
        raise TargetError(
            "a prompt needs a model; pass --model provider:model, e.g. --model openai:gpt-4o-mini"
        )
    known: dict[str, Any] = {}
    name = given
    if base_url is None:
        known = provider(given)
        name = given.partition(":")[2] or given
    key_env = key_env or known.get("key_env")
    key = os.environ.get(key_env, "") if key_env else ""
    if key_env and not key:
        raise TargetError(f"the environment variable {key_env} is not set; it holds the key of {given}")
    return Model(
        name=name,
        base_url=base_url or str(known.get("base_url") or Model.base_url),
        api_key=key,
        price=_price(price) or _known_price(known.get("price")),
        temperature=temperature,
        max_tokens=max_tokens,
    )


def _price(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        tokens_in, tokens_out = (float(x) for x in text.split(","))
    except ValueError:
        raise TargetError(
            f"--price {text}: write USD per million tokens as INPUT,OUTPUT, e.g. 0.15,0.6"
        ) from None
    return tokens_in, tokens_out


def _known_price(found: Any) -> tuple[float, float] | None:
    return (float(found["input"]), float(found["output"])) if isinstance(found, dict) else None
