"""Real instrumented clients, unchanged, calling a fake provider and exporting to a running server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_openai import FakeOpenAI
from tests.serving import Server

CLIENT = """
import sys
from opentelemetry import trace, _logs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
_logs.set_logger_provider(logs)

if sys.argv[1] == "openai_v2":
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
else:
    from openinference.instrumentation.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument(tracer_provider=provider)

from openai import OpenAI, RateLimitError
client = OpenAI(base_url=sys.argv[2], api_key="test", max_retries=0)
ask = lambda text, **more: client.chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": text}], **more)
ask("What is the capital of France?")
for _ in ask("Stream it.", stream=True, stream_options={"include_usage": True}):
    pass
tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
ask("Look it up.", tools=[tool])
try:
    ask("please fail 429 now")
except RateLimitError:
    pass
provider.shutdown()
logs.shutdown()
"""

CALLS = "select * from spans where kind = 'llm' order by time"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("real") / "data") as running:
        yield running


@pytest.mark.parametrize(
    ("instrumentation", "module"),
    [
        ("openai_v2", "opentelemetry.instrumentation.openai_v2"),
        ("openinference", "openinference.instrumentation.openai"),
    ],
)
def test_a_real_client_is_understood_without_a_change(
    instrumentation: str, module: str, server: Server, tmp_path: Path
) -> None:
    pytest.importorskip("openai")
    pytest.importorskip(module)
    service = f"client-{instrumentation}"
    with FakeOpenAI() as provider:
        script = tmp_path / "client.py"
        script.write_text(CLIENT)
        environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_SERVICE_NAME": service,
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
        }
        done = subprocess.run(
            [sys.executable, str(script), instrumentation, provider.url],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert len(provider.requests) == 4
    rows = server.eventually(
        f"select trace_id, error_class from traces where service = '{service}' order by time",
        lambda r: len(r) == 4,
    )
    traces = [server.json("GET", f"/api/traces/{row['trace_id']}") for row in rows]
    plain, streamed, tools, refused = [t["spans"][0] for t in traces]
    assert plain["llm"]["provider"] == "openai" and plain["llm"]["request_model"] == "gpt-4o-mini"
    assert plain["llm"]["output_text"] == "Paris is the capital of France."
    assert plain["llm"]["input_messages"][-1]["text"] == "What is the capital of France?"
    assert plain["llm"]["usage"]["input_tokens"] == 31 and plain["llm"]["usage"]["output_tokens"] == 12
    assert plain["llm"]["finish_reason"] == "stop"
    assert streamed["llm"]["output_text"] == "Paris is it."
    assert tools["llm"]["finish_reason"] == "tool_calls"
    assert tools["llm"]["tool_calls"][0]["name"] == "lookup"
    assert tools["llm"]["tool_calls"][0]["arguments"] == {"city": "Paris"}
    assert refused["error"]["class"] == "rate_limit" and rows[3]["error_class"] == "rate_limit"
