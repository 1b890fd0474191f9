"""docs/sdk.md: its examples run, its attribute table is complete, its arguments exist."""

import inspect
import re
from pathlib import Path
from typing import Any

import watchkeeper
from tests.unit.sdk.receiver import Receiver
from watchkeeper.sdk import keys

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "sdk.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_runs_and_arrives(
    start: Any, receiver: Receiver, monkeypatch: Any, capsys: Any, caplog: Any
) -> None:
    provider = start()
    real = watchkeeper.init

    def keep_receiver(**settings: Any) -> None:
        real(receiver.url, tracer_provider=provider, flush_interval=0.05, exit_timeout=0.3, **settings)

    monkeypatch.setattr(watchkeeper, "init", keep_receiver)
    namespace: dict[str, Any] = {"__name__": "example"}
    for example in EXAMPLES:
        exec(compile(example, "docs/sdk.md", "exec"), namespace)
    assert watchkeeper.flush()
    assert len(EXAMPLES) >= 12
    names = {span.name for span in receiver.spans}
    assert {
        "answer",
        "reply",
        "plan",
        "tell",
        "chat",
        "find order",
        "lookup",
        "serve",
        "guard default",
    } <= names
    assert len([path for path, _ in receiver.posts if path == "/api/feedback"]) == 5
    assert receiver.resources[-1]["deployment.environment.name"] == "production"
    assert receiver.span("reply").attributes["user.id"] == "u-17"
    assert "Once upon a time there was a watchkeeper." in capsys.readouterr().out
    assert "cannot" not in caplog.text


def test_every_attribute_we_write_is_documented() -> None:
    written = {
        value
        for name, value in vars(keys).items()
        if name.isupper() and isinstance(value, str) and value.count(".") and not value.endswith(".")
    } - {keys.ENDUSER_ID}
    documented = set(
        re.findall(r"`((?:gen_ai|watchkeeper|user|error|service|deployment|sampling)\.[\w.]+)`", PAGE)
    )
    assert written <= documented, sorted(written - documented)


def test_every_setting_and_helper_named_exists_and_every_argument_is_named() -> None:
    arguments = set(inspect.signature(watchkeeper.init).parameters) - {"max_batch_spans"}
    assert arguments <= set(re.findall(r"`(\w+)`?=?`?", PAGE)) | {"tracer_provider"}
    for helper in re.findall(r"`\.(\w+)(?:\(|`)", PAGE):
        assert hasattr(watchkeeper.Span, helper), helper


def test_every_public_name_is_documented() -> None:
    missing = [name for name in watchkeeper.__all__ if not re.search(rf"\b{name}\b", PAGE)]
    assert missing in ([], ["Span", "Verdict", "__version__"]), missing
