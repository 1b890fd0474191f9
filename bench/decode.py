"""Decoding and normalising, in spans a second on one core. Run: `python -m bench.decode [spans]`.

A span is 3.7 kB on the wire: a chat call with system prompt, a conversation, tools and an answer.
"""

import gc
import json
import sys
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper import dialects, wire

TEXT = (
    "The parcel left the depot this morning and should arrive on Thursday; refunds take five working days. "
)


def _attributes(i: int) -> dict[str, object]:
    given = [
        {"role": "system", "parts": [{"type": "text", "content": "You are a support agent. " + TEXT * 6}]},
        {"role": "user", "parts": [{"type": "text", "content": f"Question {i}: " + TEXT * 6}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": "x"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": TEXT * 6}]},
    ]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": TEXT * 5}], "finish_reason": "stop"}]
    return {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": f"chatcmpl-{i}",
        "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 512, "gen_ai.usage.input_tokens": 700 + i % 9,
        "gen_ai.usage.output_tokens": 120, "server.address": "api.example.com", "server.port": 443,
        "session.id": f"s-{i // 10}", "user.id": f"u-{i % 100}", "gen_ai.conversation.id": f"s-{i // 10}",
        "gen_ai.input.messages": json.dumps(given), "gen_ai.output.messages": json.dumps(said),
    }  # fmt: skip


def request(spans: int, simple: bool = False) -> bytes:
    """One export request with that many spans; `simple` spans carry no messages."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    service = group.resource.attributes.add(key="service.name")
    service.value.string_value = "shop"
    scoped = group.scope_spans.add()
    scoped.scope.name = "bench"
    start = time.time_ns()
    for i in range(spans):
        span = scoped.spans.add(trace_id=(i // 5 + 1).to_bytes(16, "big"), span_id=(i + 1).to_bytes(8, "big"))
        span.name, span.kind = "chat gpt-4o-mini", 3
        span.start_time_unix_nano, span.end_time_unix_nano = start + i, start + i + 10**9
        for key, value in _attributes(i).items():
            if simple and key.endswith("messages"):
                continue
            entry = span.attributes.add(key=key).value
            if isinstance(value, str):
                entry.string_value = value
            elif isinstance(value, int):
                entry.int_value = value
            else:
                entry.double_value = float(str(value))
    return message.SerializeToString()


def _rate(name: str, spans: int, work: object, repeat: int = 5) -> None:
    best = min(_timed(work) for _ in range(repeat))
    print(f"{name:38s} {spans / best:10,.0f} spans/s   {best / spans * 1e6:6.1f} µs/span")


def _timed(work: object) -> float:
    gc.collect()
    start = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    body, simple = request(count), request(count, simple=True)
    print(f"{count} spans, {len(body) / count:,.0f} bytes each ({len(simple) / count:,.0f} without messages)")
    _rate("decode protobuf", count, lambda: wire.decode("traces", body))
    _rate("decode protobuf, without messages", count, lambda: wire.decode("traces", simple))
    raws = wire.decode("traces", body).spans
    bare = wire.decode("traces", simple).spans
    _rate("normalise, with messages", count, lambda: [dialects.normalise(r) for r in raws])
    _rate("normalise, without messages", count, lambda: [dialects.normalise(r) for r in bare])
    spans = [dialects.normalise(r) for r in raws]
    traces = [spans[i : i + 5] for i in range(0, count, 5)]
    _rate("assemble (5 spans a trace)", count, lambda: [dialects.assemble(t, []) for t in traces])


if __name__ == "__main__":
    main()
