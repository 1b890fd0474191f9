import pytest

from watchkeeper.notify.channel import (
    Delivered,
    Permanent,
    Retry,
    body_of,
    clip,
    one_line,
    outcome_of,
)
from watchkeeper.notify.fakes import FakeReply
from watchkeeper.notify.slack import escape


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (FakeReply(200), Delivered("")),
        (FakeReply(202, {"X-Request-Id": "r1"}), Delivered("r1")),
        (FakeReply(None, reason="no answer in time"), Retry("no answer in time")),
        (FakeReply(None, reason="not allowed", refused=True), Permanent("not allowed")),
        (FakeReply(503), Retry("the receiver answered 503")),
        (FakeReply(410), Permanent("the receiver answered 410")),
    ],
)
def test_an_answer_means_delivered_again_or_never(reply: FakeReply, expected: object) -> None:
    assert outcome_of(reply) == expected


def test_text_is_made_safe_for_one_line_and_one_size() -> None:
    assert one_line("a\r\nBcc: x\x1b[31m\u2028b") == "a Bcc: x [31m b"
    assert clip("abcdef", 4) == "abc…" and clip("abc", 4) == "abc"
    assert body_of({"a": "\ud800é"}) == b'{"a":"\\ud800\\u00e9"}'


@pytest.mark.parametrize(
    "text", ["<!channel>", "<!here|x>", "<@U1>", "<#C1>", "<https://e|t>", "&lt;!channel&gt;"]
)
def test_slack_control_sequences_do_not_survive(text: str) -> None:
    assert "<" not in escape(text) and ">" not in escape(text)
    assert escape(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text
