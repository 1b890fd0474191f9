"""Secrets stay where they belong (T3): none of what was given or made is in any output of a server that tells all it can."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.flow.sending import call, hex_id, request
from tests.serving import Server, free_port

PROVIDER, WEBHOOK, HEADER = "sk-plant-provider-7c1e5", "whsec-plant-7c1e5-webhook", "plant-forward-7c1e5"
CONFIG = """
egress: {{allow: ["127.0.0.1:{port}"]}}
providers:
  - {{name: local, protocol: openai, base_url: "http://127.0.0.1:{port}/v1", key_env: PLANT_PROVIDER}}
routes:
  - {{name: hook, type: webhook, url: "http://127.0.0.1:{port}/hook", secret: "${{PLANT_WEBHOOK}}"}}
forward:
  - {{name: other, endpoint: "http://127.0.0.1:{port}", headers: {{authorization: "${{PLANT_HEADER}}"}}}}
scorecards:
  - name: judged
    metrics:
      - {{name: helpful, type: llm_judge, model: "local:llama-3-8b", prompt: "Does it help?"}}
"""


def command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_secret_is_in_any_output_argument_or_file(tmp_path: Path) -> None:
    data, config = tmp_path / "data", tmp_path / "watchkeeper.yaml"
    config.write_text(CONFIG.format(port=free_port()))
    plants = {"PLANT_PROVIDER": PROVIDER, "PLANT_WEBHOOK": WEBHOOK, "PLANT_HEADER": HEADER}
    said: list[str] = []
    with Server(
        data, "--config", str(config), no_auth=False, env={**plants, "WATCHKEEPER_DEBUG": "1"}, afresh=True
    ) as server:
        keys = {
            role: command("keys", "create", f"a {role}", "--role", role, "--data-dir", str(data))
            for role in ("ingest", "admin")
        }

        def ask(method: str, path: str, key: str, body: object = None) -> None:
            status, headers, answer = server.call(method, path, body, {"authorization": f"Bearer {key}"})
            said.append(f"{method} {path} {status} {headers} {answer.decode(errors='replace')}")

        made = request([call(hex_id("s"), hex_id("s", digits=16), "q?", "a")])
        assert (
            server.call(
                "POST", "/v1/traces", raw=made, headers={"authorization": f"Bearer {keys['ingest']}"}
            )[0]
            == 200
        )
        for key in (*keys.values(), keys["ingest"][:-1] + "x", "wk_" + "0" * 40, PROVIDER):
            for path in ("/", "/settings", "/alerts", "/metrics", "/readyz", "/api/keys", "/api/config", "/api/openapi.json",
                         "/api/traces/none", "/api/forwarding", "/api/scorers", "/nothing", "/api/audit"):  # fmt: skip
                ask("GET", path, key)
            ask("POST", "/api/sql", key, {"query": "select * from nowhere"})
            ask("POST", "/api/keys", key, {"wrong": True})
        ask("POST", "/api/backups", keys["admin"], {})
        assert server.process is not None
        arguments = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        link = next((m[0] for line in server.lines if (m := re.search(r"[\w\-]{32,}", line))), None)
    log = "\n".join(server.lines)
    files = {p: p.read_bytes() for p in data.rglob("*") if p.is_file()}
    assert len(files) > 50 and any("200" in s for s in said)
    for secret in (PROVIDER, WEBHOOK, HEADER, *keys.values()):
        assert secret not in log
        assert not [s[:200] for s in said if secret in s]
        assert secret.encode() not in arguments
        assert not [str(p) for p, content in files.items() if secret.encode() in content]
    # What the one-time link carries is on the terminal, where it belongs, and stored as a hash only.
    assert link is not None and not [
        str(p) for p, c in files.items() if link.encode() in c and p.name != "local.json"
    ]
    # The control: what is no secret is found by the same search.
    shown = json.dumps(said)
    assert keys["ingest"].split("_")[1][:8] in shown or "a ingest" in shown
    assert any(b"a ingest" in content for content in files.values())
    assert os.stat(data / "records.db").st_mode & 0o077 == 0 or os.stat(data).st_mode & 0o077 == 0
