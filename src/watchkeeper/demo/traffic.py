"""Sends the assistant's turns as OpenTelemetry spans with the stock SDK, at the times the story gives them."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode

from watchkeeper.demo.assistant import MODEL, PROMPTS, SERVED_MODEL, Turn, question_for, respond
from watchkeeper.model.times import HOUR, SECOND


class _Seeded(IdGenerator):
    """Ids from the story's seed, so that two runs of the demo are the same traces."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def generate_span_id(self) -> int:
        return self._rng.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._rng.getrandbits(128) or 1


@dataclass(frozen=True)
class Mix:
    """What traffic runs on: the share of questions answered with prompt v2, and the release name."""

    v2_share: float
    release: str


def _at(start_ns: int, seconds: float) -> int:
    return start_ns + int(seconds * SECOND)


# The customers' hour when the story begins, whatever the hour is here: the story is the same around the clock.
BEGINS = 7


def _daily(hour_of_day: int) -> float:
    """Relative volume by hour: quiet nights, busy office hours."""
    return 0.45 + (0.55 if 8 <= hour_of_day < 20 else 0.0) + (0.35 if 9 <= hour_of_day < 17 else 0.0)


class Traffic:
    """A seeded stream of support conversations through a real `TracerProvider` and OTLP/HTTP exporter."""

    def __init__(self, endpoint: str, api_key: str | None, seed: int, per_hour: float) -> None:
        """`endpoint` is the server's base URL; `per_hour` the mean number of questions in a busy hour."""
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers, timeout=30)
        self._rng = random.Random(seed)
        self._seed = seed
        self._per_hour = per_hour
        self._providers: dict[str, TracerProvider] = {}
        self._asked: Counter[Mix] = Counter()
        self._began = 0
        self.turns = 0
        self.spans = 0

    def _tracer(self, release: str) -> otel.Tracer:
        provider = self._providers.get(release)
        if provider is None:
            resource = Resource.create(
                {
                    "service.name": "support-assistant",
                    "service.version": release,
                    "deployment.environment.name": "production",
                }
            )
            provider = TracerProvider(
                resource=resource, id_generator=_Seeded(hash((self._seed, len(self._providers))))
            )
            processor = BatchSpanProcessor(
                self._exporter, max_queue_size=200_000, max_export_batch_size=1024, schedule_delay_millis=200
            )
            provider.add_span_processor(processor)
            self._providers[release] = provider
        return provider.get_tracer("support-assistant")

    def hour(self, start_ns: int, mix: Mix) -> int:
        """Send one hour of traffic; returns the number of questions."""
        self._began = self._began or start_ns
        expected = self._per_hour * _daily(((start_ns - self._began) // HOUR + BEGINS) % 24)
        count = max(1, round(self._rng.gauss(expected, expected**0.5)))
        for moment in sorted(self._rng.uniform(0, 3500) for _ in range(count)):
            self.ask(_at(start_ns, moment), mix)
        return count

    def ask(self, start_ns: int, mix: Mix) -> None:
        """Send one question and its answer as a trace that starts at `start_ns`."""
        nth = self._asked[mix]
        self._asked[mix] += 1
        # What is asked and answered follows from how many came before in this chapter.
        key = (self._seed, mix.release, nth)
        dice = random.Random(f"{key}")
        topic, question = question_for(dice)
        version = "v2" if dice.random() < mix.v2_share else "v1"
        turn = respond(question, version, key, topic)
        self.turns += 1
        self._emit(self._tracer(mix.release), turn, start_ns)

    def _emit(self, tracer: otel.Tracer, turn: Turn, start_ns: int) -> None:
        number = self.turns
        common = {
            "gen_ai.conversation.id": f"conv-{self._seed}-{number // 2}",
            "user.id": f"user-{self._rng.randint(1, 900)}",
            "gen_ai.prompt.name": "support-answer",
            "watchkeeper.prompt.version": turn.version,
            "watchkeeper.scenario": "customer-support",
        }
        root = tracer.start_span(
            "support.answer",
            attributes={
                **common,
                "watchkeeper.input": turn.question,
                "gen_ai.agent.name": "support-assistant",
            },
            start_time=start_ns,
        )
        parent = otel.set_span_in_context(root)
        end = _at(start_ns, turn.retrieval_seconds)
        for span_end in self._steps(tracer, turn, parent, start_ns, end):
            end = span_end
        if turn.failed:
            root.set_status(Status(StatusCode.ERROR, "the provider answered 503"))
        else:
            root.set_attribute("watchkeeper.output", turn.answer)
        self._outcome(root, turn, end)
        root.end(end_time=end + 4_000_000)
        self.spans += 1

    def _steps(
        self, tracer: otel.Tracer, turn: Turn, parent: Context, start_ns: int, end: int
    ) -> Iterator[int]:
        retrieval = tracer.start_span(
            "retrieval support-articles",
            context=parent,
            start_time=start_ns + 1_000_000,
            attributes={
                "gen_ai.operation.name": "retrieval",
                "gen_ai.retrieval.query.text": turn.question,
                "gen_ai.retrieval.documents": json.dumps(turn.documents),
            },
        )
        retrieval.end(end_time=end)
        yield end
        if turn.tool is not None:
            tool = tracer.start_span(
                f"execute_tool {turn.tool['name']}",
                context=parent,
                start_time=end,
                attributes={
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": turn.tool["name"],
                    "gen_ai.tool.call.arguments": json.dumps(turn.tool["arguments"]),
                    "gen_ai.tool.call.result": json.dumps(turn.tool["result"]),
                },
            )
            end = _at(end, turn.tool_seconds)
            tool.end(end_time=end)
            self.spans += 1
            yield end
        yield self._model_call(tracer, turn, parent, end)
        self.spans += 2

    def _model_call(self, tracer: otel.Tracer, turn: Turn, parent: Context, start_ns: int) -> int:
        articles = "\n\n".join(d["content"] for d in turn.documents)
        messages = [
            {
                "role": "system",
                "parts": [{"type": "text", "content": f"{PROMPTS[turn.version]}\n\n{articles}"}],
            },
            {"role": "user", "parts": [{"type": "text", "content": turn.question}]},
        ]
        call = tracer.start_span(
            f"chat {MODEL}",
            context=parent,
            kind=SpanKind.CLIENT,
            start_time=start_ns,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": MODEL,
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.max_tokens": 500,
                "gen_ai.input.messages": json.dumps(messages),
            },
        )
        end = _at(start_ns, turn.model_seconds)
        if turn.failed:
            call.set_attribute("error.type", "503")
            call.set_status(Status(StatusCode.ERROR, "Service Unavailable"))
        else:
            said = [
                {
                    "role": "assistant",
                    "parts": [{"type": "text", "content": turn.answer}],
                    "finish_reason": "stop",
                }
            ]
            call.set_attributes(
                {
                    "gen_ai.response.model": SERVED_MODEL,
                    "gen_ai.response.finish_reasons": ["stop"],
                    "gen_ai.output.messages": json.dumps(said),
                    "gen_ai.usage.input_tokens": turn.input_tokens,
                    "gen_ai.usage.output_tokens": turn.output_tokens,
                    "gen_ai.response.time_to_first_chunk": turn.first_token_seconds,
                }
            )
        call.end(end_time=end)
        return end

    def _outcome(self, root: otel.Span, turn: Turn, end: int) -> None:
        """What became of the conversation, as the conventions' evaluation events."""
        outcomes: list[tuple[str, float]] = [("escalated", 1.0 if turn.escalated else 0.0)]
        if turn.rating is not None:
            outcomes.append(("user_rating", float(turn.rating)))
        for name, value in outcomes:
            root.add_event(
                "gen_ai.evaluation.result",
                {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": value},
                timestamp=end,
            )

    def flush(self) -> None:
        """Wait until everything sent so far was answered by the server."""
        for provider in self._providers.values():
            provider.force_flush(60_000)

    def close(self) -> None:
        """Flush and stop the exporter."""
        for provider in self._providers.values():
            provider.shutdown()
