"""What a wrong input is answered with, from outside: named, refused in the right code, and never at others' expense."""

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.flow.sending import call, hex_id, request, span
from tests.serving import Server, free_port
from watchkeeper.cli.main import main
from watchkeeper.server.auth import PROJECT_HEADER

DAY_NS = 86_400 * 10**9
PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("bad") / "data") as running:
        yield running


def good(name: str) -> dict[str, Any]:
    return call(hex_id(name), hex_id(name, digits=16), f"question {name}?", f"answer {name}")


def stored(server: Server, *names: str) -> int:
    wanted = ", ".join(f"'{hex_id(n)}'" for n in names)
    return server.sql(f"select count() as n from spans where trace_id in ({wanted})")[0]["n"]


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b'{"resourceSpans": [', "application/json", "JSON"),
        (b'{"resourceSpans": 7}', "application/json", "resourceSpans"),
        (b"[]", "application/json", "object"),
        (b"\xff\xff\xff\xff", PROTOBUF, ""),
        (b"\x0a\xff\xff\xff\x7f", PROTOBUF, ""),
        (b"[" * 100_000, "application/json", ""),
        (b"\xef\xbb\xbf\x00", "application/json", ""),
    ],
)
def test_a_malformed_body_is_answered_400_with_a_status_that_names_the_problem(
    server: Server, body: bytes, content_type: str, words: str
) -> None:
    status, headers, answer = server.call(
        "POST", "/v1/traces", raw=body, headers={"content-type": content_type}
    )
    assert status == 400, answer
    assert headers["content-type"] == content_type
    if content_type == PROTOBUF:
        said = Status.FromString(answer)
        code, message = said.code, said.message
    else:
        document = json.loads(answer)
        code, message = document["code"], document["message"]
    assert code == 3 and len(message) > 10 and words in message, message
    assert "Traceback" not in message


def test_a_body_too_large_after_inflation_is_answered_413_and_costs_nobody_else(server: Server) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    headers = {"content-encoding": "gzip"}
    status, _, answer = server.call("POST", "/v1/traces", raw=bomb, headers=headers)
    assert status == 413 and b"100:1" in answer, answer
    status, _, _ = server.call("POST", "/v1/traces", raw=b" " * (21 << 20))
    assert status == 413
    assert server.call("POST", "/v1/traces", raw=request([good("after-bomb")]))[0] == 200
    assert stored(server, "after-bomb") == 1


@pytest.mark.parametrize(
    "headers",
    [{"content-encoding": "br"}, {"content-type": "text/plain"}, {"content-encoding": "gzip, gzip, gzip"}],
)
def test_an_encoding_we_do_not_read_is_answered_415(server: Server, headers: dict[str, str]) -> None:
    status, _, answer = server.call("POST", "/v1/traces", raw=request([good("encoded")]), headers=headers)
    assert status == 415 and answer
    assert stored(server, "encoded") == 0


def test_a_bad_span_in_a_good_batch_costs_only_itself(server: Server) -> None:
    bad_ids = [
        {**good("x"), "traceId": "0" * 32},
        {**good("x"), "spanId": "abc"},
        {**good("x"), "traceId": "zz" * 16},
    ]
    batch = [good("mixed-1"), *bad_ids, good("mixed-2")]
    status, _, answer = server.call("POST", "/v1/traces", raw=request(batch))
    partial = json.loads(answer)["partialSuccess"]
    assert status == 200 and int(partial["rejectedSpans"]) == 3
    assert "spanId" in partial["errorMessage"] or "span_id" in partial["errorMessage"], partial
    assert stored(server, "mixed-1", "mixed-2") == 2
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add().scope_spans.add().spans
    spans.add(
        trace_id=bytes.fromhex(hex_id("mixed-3")), span_id=b"\x01" * 8, name="good", start_time_unix_nano=1
    )
    spans.add(trace_id=b"\x01", span_id=b"\x01" * 8, name="bad")
    status, _, answer = server.call(
        "POST", "/v1/traces", raw=made.SerializeToString(), headers={"content-type": PROTOBUF}
    )
    assert status == 200 and b"trace" in answer.lower()
    assert stored(server, "mixed-3") == 1


@pytest.mark.parametrize("name", ["büro", "проект", "日本", "My Project", "x" * 64])
def test_a_project_that_cannot_be_is_named_as_it_was_typed_wherever_it_stands(
    server: Server, name: str
) -> None:
    key = json.dumps({"name": "k", "role": "ingest", "project": name}).encode()
    said = [
        server.call("GET", "/api/traces", headers={PROJECT_HEADER: name.encode().decode("latin-1")}),
        server.call("GET", f"/api/traces?project={quote(name)}"),
        server.call("POST", "/api/keys", raw=key, headers={"content-type": "application/json"}),
    ]
    for status, _, answer in said:
        told = json.loads(answer)
        assert status == 400 and told["error"] == f"there can be no project {name!r}"
        assert "a to z" in told["hint"]


def test_a_resource_that_asks_for_a_project_that_cannot_be_is_refused_by_name(server: Server) -> None:
    groups = json.loads(request([good("placed")], watchkeeper__project="placed"))["resourceSpans"]
    wrong = json.loads(request([good("lost-1"), good("lost-2")], watchkeeper__project="My Project!"))
    unsaid = json.loads(request([good("unsaid")], watchkeeper__project=""))["resourceSpans"]
    body = json.dumps({"resourceSpans": [*wrong["resourceSpans"], *groups, *unsaid]}).encode()
    status, _, answer = server.call("POST", "/v1/traces", raw=body)
    partial = json.loads(answer)["partialSuccess"]
    assert status == 200 and int(partial["rejectedSpans"]) == 2
    assert "My Project!" in partial["errorMessage"] and "lower-case letters" in partial["errorMessage"]
    assert stored(server, "lost-1", "lost-2", "placed") == 0 and stored(server, "unsaid") == 1
    assert server.call("GET", f"/api/traces/{hex_id('placed')}?project=placed")[0] == 200
    told = server.call("GET", "/metrics")[2].decode()
    assert 'outcome="refused",project="default",reason="project",signal="traces"} 2' in told


def test_over_long_attributes_are_cut_with_a_mark_and_not_refused(server: Server) -> None:
    made = span(hex_id("long"), hex_id("long", digits=16), "step", note="x" * 3_000_000)
    assert server.call("POST", "/v1/traces", raw=request([made]))[:1] == (200,)
    trace = server.json("GET", f"/api/traces/{hex_id('long')}")
    (shown,) = trace["spans"]
    assert 10_000 < len(shown["attributes"]["note"]) < 3_000_000
    assert shown["attributes"]["note"].endswith("of 3000000 characters kept]")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from spans, url('http://127.0.0.1/x')", "url"),
        ("select file('/etc/passwd')", "file"),
        ("insert into spans values (1)", "INSERT"),
        ("drop table spans", "DROP"),
        ("select * from system.tables", "system"),
        ("select * from spans; select 1", "one"),
        ("select * from nowhere", "nowhere"),
        ("select colour from spans", "colour"),
        ("selec 1", "at '1'"),
        ("select * from spans settings max_threads = 100", "SETTINGS"),
    ],
)
def test_sql_that_is_not_allowed_is_named_with_what_is(server: Server, query: str, words: str) -> None:
    status, _, answer = server.call("POST", "/api/sql", {"query": query})
    said = json.loads(answer)
    assert status == 400, said
    assert words.lower() in said["error"].lower() and said["hint"], said
    assert "chdb" not in answer.decode().lower() and "Traceback" not in said["error"]


def test_what_does_not_exist_is_404(server: Server) -> None:
    for path in (
        f"/api/traces/{hex_id('never sent')}",
        "/api/traces/unknown",
        "/api/traces/%00",
        "/api/nothing",
    ):
        status, _, answer = server.call("GET", path)
        assert status == 404 and json.loads(answer)["error"], path


def test_a_trace_of_another_project_is_404_and_never_merges(server: Server) -> None:
    shared = hex_id("both projects")
    for project, name in (("one", "a"), ("two", "b")):
        made = call(shared, hex_id(name, digits=16), f"question {name}?", f"answer {name}")
        headers = {"x-watchkeeper-project": project}
        assert server.call("POST", "/v1/traces", raw=request([made]), headers=headers)[0] == 200
    for project, name in (("one", "a"), ("two", "b")):
        _, _, body = server.call("GET", f"/api/traces/{shared}", headers={"x-watchkeeper-project": project})
        assert [s["span_id"] for s in json.loads(body)["spans"]] == [hex_id(name, digits=16)]
    assert server.call("GET", f"/api/traces/{shared}")[0] == 404


EVERY = "select * from series where n > 0 order by metric, cohort, time, version"
WATCHED = """
monitors:
  - {name: failures, project: clean, condition: "error_rate > 5%", window: 6h, owner: o, runbook: r.md}
  - {name: slow, project: clean, condition: "latency_ms.p99 > 10s", window: 6h, owner: o, runbook: r.md}
  - {name: failures, project: poisoned, condition: "error_rate > 5%", window: 6h, owner: o, runbook: r.md}
  - {name: slow, project: poisoned, condition: "latency_ms.p99 > 10s", window: 6h, owner: o, runbook: r.md}
"""


def test_times_nobody_can_believe_do_not_disturb_other_spans(tmp_path: Path) -> None:
    """The same good traces with and without poison: everything said about the good ones, every series and every alert is
    the same."""
    now = time.time_ns()
    poison_times = (0, 1, now - 3650 * DAY_NS, now + 3650 * DAY_NS, 2**63 - 1, 2**63, 2**64 - 1)
    healthy = [
        call(
            hex_id("ok", i),
            hex_id("ok", i, digits=16),
            f"question {i}?",
            f"answer {i}",
            start_ns=now - i * 60 * 10**9 - 3600 * 10**9,
            error="RateLimitError" if i % 3 == 0 else None,
        )
        for i in range(200)
    ]
    # One client gave start and end in the wrong order, another left its span open for a century; and one put a span of a
    # century into a good trace.
    poison = [
        {
            **call(hex_id("poison", i), hex_id("poison", i, digits=16), "question?", "answer", error="Boom"),
            "startTimeUnixNano": str(at),
            "endTimeUnixNano": str(end),
        }
        for i, (at, end) in enumerate(
            [*((t, t + 1) for t in poison_times), (now, now - 10**9), (now, 2**63 - 1)] * 8
        )
    ]
    inside = {
        **span(healthy[0]["traceId"], hex_id("inside", digits=16), "slow step", parent=healthy[0]["spanId"]),
        "endTimeUnixNano": str(2**63 - 1),
    }
    columns = (
        "trace_id, time, duration_ms, input_tokens, answer_relevance, failed_checks, inclusion_probability"
    )
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(WATCHED)
    with Server(tmp_path / "data", "--config", str(config)) as server:
        for project, batch in (("clean", healthy), ("poisoned", [*poison, inside, *healthy])):
            headers = {"x-watchkeeper-project": project}
            status, _, answer = server.call("POST", "/v1/traces", raw=request(batch), headers=headers)
            assert status == 200, answer
        seen, points, alerts = {}, {}, {}
        for project, n in (("clean", 200), ("poisoned", 200 + len(poison))):
            server.headers["x-watchkeeper-project"] = project
            server.eventually("select count() as n from traces", lambda r, n=n: r[0]["n"] == n)
            good_ones = ", ".join(f"'{s['traceId']}'" for s in healthy)
            seen[project] = server.sql(
                f"select {columns} from traces where trace_id in ({good_ones}) order by trace_id"
            )
            server.eventually("select count() as n from alerts", lambda r: r[0]["n"] > 0)
            points[project] = server.sql(EVERY)
            alerts[project] = server.sql(
                "select monitor, cohort, state, since, fired_at from alerts order by 1, 2"
            )
            assert server.sql("select count() as n from spans")[0]["n"] >= n
        # Retention is decided by arrival where a time cannot be believed: nothing is dropped early.
        for i in range(len(poison)):
            assert server.call("GET", f"/api/traces/{hex_id('poison', i)}")[0] == 200
        # The control: at times that can be believed the same traces change the series.
        server.headers["x-watchkeeper-project"] = "disturbed"
        believed = [
            {**p, **{k: healthy[0][k] for k in ("startTimeUnixNano", "endTimeUnixNano")}} for p in poison
        ]
        assert server.call("POST", "/v1/traces", raw=request([*believed, *healthy]))[0] == 200
        disturbed = server.eventually(EVERY, bool)
    assert disturbed != points["clean"]
    assert seen["clean"] == seen["poisoned"]
    assert points["clean"] == points["poisoned"]
    assert alerts["clean"] == alerts["poisoned"]
    assert any(a["state"] == "firing" for a in alerts["clean"]), alerts
    assert {p["metric"] for p in points["clean"]} >= {"latency_ms", "traces", "error_rate"}


class Done(NamedTuple):
    """What a command said."""

    status: int | str | None
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """Runs a command in this process: one of its own would import for two seconds before it refuses, as `test_http_real` sees."""

    def run(*arguments: str) -> Done:
        try:
            status = main(arguments)
        except SystemExit as usage:
            status = usage.code
        return Done(status, *capsys.readouterr())

    mask = os.umask(0o022)
    yield run
    os.umask(mask)


def test_a_second_server_on_the_same_data_names_the_holder_and_leaves(
    server: Server, command: Callable[..., Done]
) -> None:
    assert server.process is not None
    data = next(
        Path(a) for i, a in enumerate(server.process.args) if server.process.args[i - 1] == "--data-dir"
    )  # type: ignore[arg-type, index]
    done = command(
        "serve", "--data-dir", str(data), "--port", str(free_port()), "--grpc-port", "0", "--no-auth"
    )
    assert done.status == 2
    assert str(server.process.pid) in done.err and server.url in done.err and "Traceback" not in done.err
    assert server.call("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_busy_port_is_named_before_anything_is_made(
    server: Server, tmp_path: Path, command: Callable[..., Done], option: str
) -> None:
    ports = {"--port": free_port(), "--grpc-port": 0, option: server.port}
    asked = [str(word) for pair in ports.items() for word in pair]
    done = command("serve", "--data-dir", str(tmp_path / "d"), *asked, "--no-auth")
    assert done.status == 2 and "Traceback" not in done.err
    assert str(server.port) in done.err and f"choose another with {option}" in done.err
    assert not (tmp_path / "d").exists()


def test_one_port_for_both_is_refused_before_anything_is_made(
    tmp_path: Path, command: Callable[..., Done]
) -> None:
    port = str(free_port())
    done = command(
        "serve", "--data-dir", str(tmp_path / "d"), "--port", port, "--grpc-port", port, "--no-auth"
    )
    assert done.status == 2 and f"gRPC port {port}" in done.err and not (tmp_path / "d").exists()


def test_a_data_directory_without_a_server_is_not_taken_for_another_server(
    tmp_path: Path, command: Callable[..., Done]
) -> None:
    done = command("sql", "select 1", "--data-dir", str(tmp_path / "d"))
    assert done.status == 2 and f"no server runs on {tmp_path / 'd'}" in done.err


@pytest.mark.parametrize("place", ["file", "file/below", ""])
def test_a_data_directory_that_cannot_be_one_is_said_in_words(
    tmp_path: Path, command: Callable[..., Done], place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    done = command(
        *("serve", "--data-dir", str(tmp_path / place) if place else ""),
        *("--port", str(free_port()), "--grpc-port", "0", "--no-auth"),
    )
    assert done.status == 2 and "fault of ours" not in done.err and "Traceback" not in done.err
    assert "--data-dir" in done.err and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("server:\n  limits:\n    bodyy: 3\n", 3, "bodyy"),
        (
            "monitors:\n  - name: a\n    condition: latency_ms >\n    owner: o\n    runbook: r\n",
            3,
            "condition",
        ),
        ("scorecards:\n  - name: a\n    metrics:\n      - {name: x, type: nonsense}\n", 4, "nonsense"),
        ("routes:\n  - {name: a, type: pigeon}\n", 2, "pigeon"),
        ("server: [\n", 2, ""),
        ("scorecards:\n  - name: a\n    name: b\n    metrics: []\n", 3, "name"),
    ],
)
def test_a_bad_configuration_is_named_by_file_line_and_key(
    tmp_path: Path, command: Callable[..., Done], text: str, line: int, words: str
) -> None:
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(text)
    done = command("check", str(config))
    said = done.out + done.err
    assert done.status == 2, said
    assert f"watchkeeper.yaml:{line}" in said and words in said, said
    assert "Traceback" not in said


def test_a_server_with_a_bad_configuration_says_so_and_leaves_nothing_behind(
    tmp_path: Path, command: Callable[..., Done]
) -> None:
    config = tmp_path / "watchkeeper.yaml"
    config.write_text("server:\n  limits:\n    bodyy: 3\n")
    done = command(
        "serve", "--data-dir", str(tmp_path / "d"), "--config", str(config), "--port", str(free_port())
    )
    assert done.status == 2
    assert "watchkeeper.yaml:3" in done.err and "body" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "d").exists()


def test_keys_open_what_their_role_may_and_nothing_else(tmp_path: Path, command: Callable[..., Done]) -> None:
    data = tmp_path / "data"
    with Server(data, no_auth=False) as server:
        keys = {}
        for role in ("ingest", "viewer"):
            made = command("keys", "create", f"a {role}", "--role", role, "--data-dir", str(data))
            assert made.status == 0, made.err
            keys[role] = made.out.strip()

        def status(method: str, path: str, key: str | None, raw: bytes | None = None) -> int:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            return server.call(method, path, raw=raw, headers=headers)[0]

        batch, query = request([good("keyed")]), json.dumps({"query": "select 1"}).encode()
        assert status("POST", "/v1/traces", None, batch) == 401
        nearly = keys["ingest"][:-1] + ("1" if keys["ingest"].endswith("0") else "0")
        assert status("POST", "/v1/traces", nearly, batch) == 401
        assert status("POST", "/v1/traces", "wk_nonsense", batch) == 401
        assert status("POST", "/v1/traces", keys["viewer"], batch) == 403
        assert status("POST", "/v1/traces", keys["ingest"], batch) == 200
        assert status("POST", "/api/sql", keys["ingest"], query) == 403
        assert status("GET", f"/api/traces/{hex_id('keyed')}", keys["ingest"]) == 403
        assert status("GET", f"/api/traces/{hex_id('keyed')}", keys["viewer"]) == 200
        assert status("GET", f"/api/traces/{hex_id('keyed')}", None) == 401
        other = {"authorization": f"Bearer {keys['viewer']}", "x-watchkeeper-project": "theirs"}
        assert server.call("GET", f"/api/traces/{hex_id('keyed')}", headers=other)[0] in (403, 404)
        assert not any(k in line for k in keys.values() for line in server.lines)
