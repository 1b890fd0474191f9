"""What the SDK promises a process: light to import, quick to leave, whole after Ctrl-C and in children."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.serving import free_port
from tests.unit.sdk.receiver import Receiver, black_hole

SOURCE = Path(__file__).resolve().parents[2] / "src"
# The SDK hides what the server hides, by the same rules.
OWN = re.compile(r"watchkeeper(\.(sdk|redaction)(\.|$)|$)")
HEAVY = {
    "fastapi", "sqlalchemy", "chdb", "numpy", "pydantic", "starlette", "msgspec", "scipy", "aiohttp", "grpc",
    "requests", "jinja2",
}  # fmt: skip


def run(code: str, *args: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **environ}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *args]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def test_importing_the_package_loads_nothing() -> None:
    done = run(
        "import sys, watchkeeper; print([m for m in sys.modules if m.startswith('watchkeeper.') or 'opentelemetry' in m])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_whole_sdk_pulls_no_server_dependency() -> None:
    done = run(
        """
        import sys
        before = set(sys.modules)
        import watchkeeper
        for name in watchkeeper.__all__:
            getattr(watchkeeper, name)
        watchkeeper.init("http://127.0.0.1:9")
        with watchkeeper.session("s"), watchkeeper.span("x", kind="llm") as s:
            s.input("hello a@b.com").output("y")
        watchkeeper.flush(2)
        print(*sorted({name.partition(".")[0] for name in sys.modules}))
        new = [sys.modules[name] for name in sys.modules.keys() - before]
        print(*(m.__file__ for m in new if getattr(m, "__file__", None)), sep="|")
        print(*sorted(name for name in sys.modules if name.startswith("watchkeeper")))
        """
    )
    assert done.returncode == 0, done.stderr
    loaded, files, ours = done.stdout.strip().splitlines()
    assert sorted(HEAVY & set(loaded.split())) == []
    assert others(files.split("|")) == set(), "not among the dependencies of the base install"
    assert [name for name in ours.split() if not OWN.match(name)] == []


def others(loaded: list[str]) -> set[str]:
    """The installed packages that these files are of and that installing the SDK alone would not bring."""
    wanted = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    brought: set[str] = set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", wanted.pop(), maxsplit=1)[0]).lower()
        if name not in brought:
            brought.add(name)
            wanted += [r for r in metadata.requires(name) or () if "extra ==" not in r]
    home = {
        f"{folder}/{line.partition(',')[0]}": name
        for found in metadata.distributions()
        # Once each: a name is read from the whole of a package's description.
        for folder, name in [
            (str(found.locate_file("")).rstrip("/"), re.sub(r"[-_.]+", "-", found.name).lower())
        ]
        for line in (found.read_text("RECORD") or "").splitlines()
    }
    return {home[file] for file in loaded if file in home} - brought


def test_no_sdk_file_imports_another_part_of_the_product() -> None:
    for path in (SOURCE / "watchkeeper" / "sdk").glob("*.py"):
        found = re.findall(r"^\s*(?:from|import) (watchkeeper[\w.]*)", path.read_text(), re.MULTILINE)
        assert [name for name in found if not OWN.match(name)] == [], path.name


def test_a_wrong_name_says_what_there_is() -> None:
    done = run("import watchkeeper; watchkeeper.trcae")
    assert "has no attribute 'trcae'; it offers" in done.stderr


WORK = """
    import sys, watchkeeper
    watchkeeper.init(sys.argv[1], spool_dir=sys.argv[2] if len(sys.argv) > 2 else None)
    @watchkeeper.trace
    def f(x): return x
    for n in range(50): f(f"q{n}")
    print("done", flush=True)
"""


def test_everything_is_sent_at_exit_without_a_call() -> None:
    receiver = Receiver()
    try:
        done = run(WORK, receiver.url)
        assert done.returncode == 0, done.stderr
        assert len(receiver.spans) == 50
    finally:
        receiver.close()


@pytest.mark.parametrize("spool", [False, True])
def test_exit_is_quick_and_clean_when_the_server_hangs(tmp_path: Path, spool: bool) -> None:
    for port in black_hole():
        # A request may take five minutes here: an exit that waited for one would run into the test's own limit.
        folder = [str(tmp_path)] if spool else []
        done = run(WORK, f"http://127.0.0.1:{port}", *folder, OTEL_EXPORTER_OTLP_TIMEOUT="300")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert bool(list(tmp_path.glob("*.wkspool"))) is spool
        assert ("50 spans were not delivered" in done.stderr) is not spool


def test_an_unhandled_exception_keeps_its_exit_code_and_its_spans() -> None:
    receiver = Receiver()
    try:
        done = run(WORK + "\n    raise SystemExit(7)", receiver.url)
        assert done.returncode == 7
        assert len(receiver.spans) == 50
    finally:
        receiver.close()


def test_ctrl_c_ends_the_application_while_the_server_hangs() -> None:
    for port in black_hole():
        # A run in a shell's background would hand on that Ctrl-C is ignored.
        heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        code = heard + textwrap.dedent(WORK) + "\nimport time\ntime.sleep(600)\n"
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)}
        process = subprocess.Popen(
            [sys.executable, "-c", code, f"http://127.0.0.1:{port}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGINT
        assert errors.count("KeyboardInterrupt") == 1


def test_multiprocessing_children_deliver_what_they_made() -> None:
    receiver = Receiver()
    try:
        done = run(
            """
            import multiprocessing, sys, watchkeeper
            watchkeeper.init(sys.argv[1])
            def work(n):
                with watchkeeper.span(f"child{n}"): pass
            if __name__ == "__main__":
                with watchkeeper.span("parent"): pass
                context = multiprocessing.get_context("fork")
                children = [context.Process(target=work, args=(n,)) for n in range(3)]
                for child in children: child.start()
                for child in children: child.join()
            """,
            receiver.url,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(span.name for span in receiver.spans) == ["child0", "child1", "child2", "parent"]
    finally:
        receiver.close()


def test_it_configures_itself_from_the_environment() -> None:
    receiver = Receiver()
    try:
        done = run(
            """
            import watchkeeper
            @watchkeeper.trace(scenario="support")
            def answer(q): return "re: " + q
            answer("hi")
            """,
            WATCHKEEPER_ENDPOINT=receiver.url, WATCHKEEPER_API_KEY="wk_env", OTEL_SERVICE_NAME="bot",
            WATCHKEEPER_PROJECT="shop",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert receiver.headers[0]["authorization"] == "Bearer wk_env"
        assert receiver.resources[0]["service.name"] == "bot"
        assert receiver.span("answer").attributes["watchkeeper.scenario"] == "support"
    finally:
        receiver.close()


def test_without_a_server_an_application_neither_fails_nor_fills_its_log() -> None:
    done = run(WORK, f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert len(done.stderr.splitlines()) <= 3, done.stderr


def test_an_existing_provider_of_the_application_stays_and_both_receive() -> None:
    receiver = Receiver()
    try:
        done = run(
            """
            import sys, watchkeeper
            from opentelemetry import trace
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import SimpleSpanProcessor
            from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
            own = InMemorySpanExporter()
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(own))
            trace.set_tracer_provider(provider)
            watchkeeper.init(sys.argv[1])
            assert trace.get_tracer_provider() is provider
            with watchkeeper.span("ours"), trace.get_tracer("app").start_as_current_span("theirs"): pass
            print(sorted(s.name for s in own.get_finished_spans()))
            """,
            receiver.url,
        )
        assert done.stdout.strip() == "['ours', 'theirs']", done.stderr
        assert sorted(span.name for span in receiver.spans) == ["ours", "theirs"]
    finally:
        receiver.close()
