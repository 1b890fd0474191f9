"""What a log record is called."""

import pytest

from watchkeeper.wire.names import event_name


@pytest.mark.parametrize(
    ("field", "attributes", "body", "name"),
    [
        ("gen_ai.choice", {"event.name": "other.name"}, None, "gen_ai.choice"),
        ("event otel/src/events.rs:12", {"event.name": "codex.sse_event"}, None, "codex.sse_event"),
        ("event src/main.rs:3", {}, None, "event src/main.rs:3"),
        ("", {"event.name": "api_request"}, "claude_code.api_request", "claude_code.api_request"),
        ("", {"event.name": "codex.user_prompt"}, "A prompt.", "codex.user_prompt"),
    ],
)
def test_it_takes_the_field_unless_that_is_a_place_in_the_source(
    field: str, attributes: dict[str, str], body: str | None, name: str
) -> None:
    assert event_name(field, attributes, body) == name
