"""Every channel against a real local receiver: delivered, retry, permanent, never an exception."""

import email
import email.policy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.sinks import HttpSink, SmtpSink
from watchkeeper.egress import Egress, Mailer, Policy, SmtpServer
from watchkeeper.model.alert import Notification
from watchkeeper.notify import (
    TYPES,
    Channel,
    Delivered,
    EmailChannel,
    LogChannel,
    OpsgenieChannel,
    PagerDutyChannel,
    Permanent,
    RecordingChannel,
    Retry,
    SlackChannel,
    TeamsChannel,
    WebhookChannel,
)
from watchkeeper.notify.webhook import verify

NOW = 1_700_000_000 * 10**9
HOSTILE = "<!channel> <@U123> <https://evil.example|click> & [a](https://evil.example)\r\nBcc: x@y.z\x1b[31m \ud800 ``` end"


def notification(status: str = "firing", hostile: str = "") -> Notification:
    worst = [{"trace_id": "t1", "value": 3.0, "output_text": hostile or "No steps given."}]
    payload: dict[str, Any] = {
        "version": 1,
        "status": status,
        "event": status,
        "severity": "page",
        "title": "t",
        "summary": f"answer_relevance for prompt_version v2 fell from 8.2 to 6.5. {hostile}",
        "holds": "Uptime metrics are all green.",
        "suspicion": f"First suspect: support-prompt v2. {hostile}",
        "lines": ["answer_relevance: 8.2 (n 4,012) → 6.5 (6.3 to 6.7, n 412) fell"],
        "owner": "support-ml",
        "runbook": "runbooks/relevance.md",
        "links": {"alert": "https://wk.example/alerts/a1"},
        "alerts": [{"id": "a1", "worst": worst}],
    }
    return Notification(
        "n1",
        "default",
        "a1",
        "wk-group",
        "route",
        status,
        f"[PAGE] relevance {hostile}",
        f"text {hostile}",
        payload,
        NOW,
    )


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    made = HttpSink()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def egress(sink: HttpSink) -> AsyncIterator[Egress]:
    made = Egress(Policy.of(f"127.0.0.1:{sink.port}"), timeout_s=2)
    yield made
    await made.close()


BUILD: dict[str, Callable[[Egress, str], Channel]] = {
    "webhook": lambda http, url: WebhookChannel(http, url, "s3cret", lambda: NOW),
    "slack": SlackChannel,
    "teams": TeamsChannel,
    "pagerduty": lambda http, url: PagerDutyChannel(http, "key", url),
    "opsgenie": lambda http, url: OpsgenieChannel(http, "key", url),
}


def test_every_type_of_channel_is_held_to_the_contract() -> None:
    assert set(TYPES) == {*BUILD, "email", "log"}


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("status", ["firing", "resolved"])
async def test_it_delivers_one_json_request(kind: str, status: str, sink: HttpSink, egress: Egress) -> None:
    outcome = await BUILD[kind](egress, sink.url).send(notification(status))
    assert isinstance(outcome, Delivered)
    assert len(sink.seen) == 1
    path, headers, body = sink.seen[0]
    assert headers["Content-Type"] == "application/json"
    assert isinstance(json.loads(body), dict)
    if kind not in ("slack", "teams"):
        assert b"wk-group" in body or "wk-group" in path


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("status", [500, 502, 503, 429, 408, 425])
async def test_a_receiver_in_trouble_is_tried_again(
    kind: str, status: int, sink: HttpSink, egress: Egress
) -> None:
    sink.script = [(status, {"Retry-After": "7"})]
    outcome = await BUILD[kind](egress, sink.url).send(notification())
    assert outcome == Retry(f"the receiver answered {status}", 7.0)


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 410, 413])
async def test_a_refusal_is_permanent_and_quotes_nothing(
    kind: str, status: int, sink: HttpSink, egress: Egress
) -> None:
    sink.script = [(status, {"Location": "http://127.0.0.1:1/"})]
    outcome = await BUILD[kind](egress, sink.url).send(notification())
    assert isinstance(outcome, Permanent)
    assert str(status) in outcome.reason and "secret" not in outcome.reason
    assert len(sink.seen) == 1


@pytest.mark.parametrize("kind", BUILD)
async def test_a_cut_connection_is_tried_again(kind: str, sink: HttpSink, egress: Egress) -> None:
    sink.script = ["cut"]
    assert isinstance(await BUILD[kind](egress, sink.url).send(notification()), Retry)


@pytest.mark.parametrize("kind", BUILD)
async def test_an_address_the_policy_forbids_is_permanent(kind: str, egress: Egress) -> None:
    assert isinstance(await BUILD[kind](egress, "http://169.254.169.254").send(notification()), Permanent)


@pytest.mark.parametrize("kind", BUILD)
async def test_hostile_text_stays_text(kind: str, sink: HttpSink, egress: Egress) -> None:
    assert isinstance(await BUILD[kind](egress, sink.url).send(notification(hostile=HOSTILE)), Delivered)
    _, headers, body = sink.seen[0]
    assert b"\x1b" not in body and b"\r" not in body
    assert not any("Bcc" in key for key in headers)
    if kind == "slack":
        assert b"<" not in body and b">" not in body.replace(b"\\u2192", b"")
    if kind == "teams":
        texts = [b["text"] for b in json.loads(body)["attachments"][0]["content"]["body"]]
        assert not any("](" in t.replace("\\]\\(", "") for t in texts)


@pytest.mark.parametrize("kind", BUILD)
def test_a_channel_never_prints_its_secret(kind: str) -> None:
    channel = BUILD[kind](Egress(), "https://hooks.example/T/B/secret-in-path")
    assert "secret" not in repr(channel) and "s3cret" not in repr(channel) and "key" not in repr(channel)


async def test_a_webhook_is_signed_over_time_and_body(sink: HttpSink, egress: Egress) -> None:
    await BUILD["webhook"](egress, sink.url).send(notification())
    _, headers, body = sink.seen[0]
    stamp, signature = int(headers["X-Watchkeeper-Timestamp"]), headers["X-Watchkeeper-Signature"]
    assert stamp == NOW // 10**9
    assert headers["X-Watchkeeper-Dedup-Key"] == "wk-group" and headers["Idempotency-Key"] == "n1"
    assert verify("s3cret", stamp, body, signature, now=stamp + 10)
    assert not verify("other", stamp, body, signature, now=stamp)
    assert not verify("s3cret", stamp, body + b" ", signature, now=stamp)
    assert not verify("s3cret", stamp + 1, body, signature, now=stamp)
    assert not verify("s3cret", stamp, body, signature, now=stamp + 301)


async def test_pagerduty_resolves_what_it_triggered(sink: HttpSink, egress: Egress) -> None:
    channel = BUILD["pagerduty"](egress, sink.url)
    for status in ("firing", "resolved"):
        await channel.send(notification(status))
    first, second = (json.loads(body) for _, _, body in sink.seen)
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == second["dedup_key"] == "wk-group"
    assert first["payload"]["severity"] == "critical"


async def test_opsgenie_closes_by_alias(sink: HttpSink, egress: Egress) -> None:
    await BUILD["opsgenie"](egress, sink.url).send(notification("resolved"))
    assert sink.seen[0][0] == "/v2/alerts/wk-group/close?identifierType=alias"


@pytest.fixture
async def mail() -> AsyncIterator[SmtpSink]:
    made = SmtpSink()
    await made.start()
    yield made
    await made.stop()


def email_channel(
    sink: SmtpSink, recipients: tuple[str, ...] = ("a@example.com", "b@example.com")
) -> EmailChannel:
    server = SmtpServer("127.0.0.1", sink.port, security="none", timeout_s=2)
    return EmailChannel(
        Mailer(Policy.of(f"127.0.0.1:{sink.port}"), server), "Watchkeeper <wk@example.com>", recipients
    )


async def test_a_mail_carries_text_and_html_and_its_thread(mail: SmtpSink) -> None:
    assert isinstance(await email_channel(mail).send(notification()), Delivered)
    message = email.message_from_string(mail.mails[0], policy=email.policy.default)
    assert message["To"] == "a@example.com, b@example.com"
    assert message["Message-ID"] == "<n1@example.com>"
    assert message["References"] and message["X-Watchkeeper-Dedup-Key"] == "wk-group"
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]


async def test_hostile_text_adds_no_header_and_no_markup_to_a_mail(mail: SmtpSink) -> None:
    hostile = HOSTILE + "<script>alert(1)</script><img src=https://evil.example/x>"
    assert isinstance(await email_channel(mail).send(notification(hostile=hostile)), Delivered)
    message = email.message_from_string(mail.mails[0], policy=email.policy.default)
    assert message["Bcc"] is None
    html = message.get_body(("html",))
    assert html is not None
    content = html.get_content()
    assert "<script" not in content and "<img" not in content and "&lt;script&gt;" in content


@pytest.mark.parametrize(
    ("verb", "line", "again"),
    [
        ("CONNECT", "421 busy", True),
        ("MAIL", "451 later", True),
        ("RCPT", "450 greylisted", True),
        ("RCPT", "550 no such user", False),
        ("DATA", "554 refused", False),
        ("BODY", "552 too big", False),
        ("BODY", "451 disk", True),
    ],
)
async def test_the_mail_servers_answer_decides(mail: SmtpSink, verb: str, line: str, again: bool) -> None:
    mail.answers = {verb: line}
    outcome = await email_channel(mail).send(notification())
    assert isinstance(outcome, Retry if again else Permanent), outcome


async def test_a_mail_server_without_starttls_is_refused(mail: SmtpSink) -> None:
    mail.answers = {"EHLO": "250 sink", "STARTTLS": "502 no"}
    policy = Policy.of(f"127.0.0.1:{mail.port}")
    channel = EmailChannel(
        Mailer(policy, SmtpServer("127.0.0.1", mail.port)), "wk@example.com", ("a@example.com",)
    )
    outcome = await channel.send(notification())
    assert isinstance(outcome, Permanent) and "STARTTLS" in outcome.reason
    assert mail.mails == []


async def test_a_mail_server_inside_is_refused_unless_listed() -> None:
    channel = EmailChannel(
        Mailer(Policy(), SmtpServer("127.0.0.1", 25)), "wk@example.com", ("a@example.com",)
    )
    outcome = await channel.send(notification())
    assert isinstance(outcome, Permanent) and "not an allowed" in outcome.reason


def test_unencrypted_mail_needs_the_operators_word() -> None:
    with pytest.raises(ValueError, match="without TLS"):
        Mailer(Policy(), SmtpServer("mail.example.com", 25, security="none"))
    assert "pw" not in repr(SmtpServer("h", username="u", password="pw"))


async def test_a_bad_address_is_permanent(mail: SmtpSink) -> None:
    outcome = await email_channel(mail, ("not an address <",)).send(notification())
    assert isinstance(outcome, Permanent) and "recipients" in outcome.reason


async def test_the_log_channel_writes_one_clean_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert isinstance(await LogChannel().send(notification(hostile=HOSTILE)), Delivered)
    assert len(caplog.records) == 1
    line = caplog.records[0].getMessage()
    assert "\n" not in line and "\x1b" not in line and "\r" not in line


async def test_the_recording_channel_follows_its_script() -> None:
    channel = RecordingChannel([Retry("down"), Permanent("gone")])
    assert [type(await channel.send(notification())) for _ in range(3)] == [Retry, Permanent, Delivered]
    assert (len(channel.attempts), len(channel.sent)) == (3, 1)


# What a reader must find whatever the channel: what changed, both figures with interval and n, the cohort, a worst trace, a
# change near the onset, owner and runbook, and the chart's address (mail has the picture itself).
A3 = (
    "8.2 (n 4,012)",
    "6.5 (6.3 to 6.7, n 412)",
    "prompt_version v2",
    "t1",
    "support-prompt v2, Tue",
    "support-ml",
    "runbooks/relevance.md",
)
CHART = "https://wk.example/pictures/abc.def"


def full() -> Notification:
    told = notification()
    told.payload |= {
        "changes": ["support-prompt v2, Tue 17 Nov 07:00 UTC"],
        "links": {**told.payload["links"], "chart": CHART},
    }
    told.text = "\n".join(
        [told.payload["summary"], *told.payload["lines"], *told.payload["changes"], "worst: t1 3.0",
         "Owner support-ml. Runbook runbooks/relevance.md"]
    )  # fmt: skip
    return told


@pytest.mark.parametrize("kind", BUILD)
async def test_it_carries_everything_an_alert_must_say(kind: str, sink: HttpSink, egress: Egress) -> None:
    assert isinstance(await BUILD[kind](egress, sink.url).send(full()), Delivered)
    said = json.loads(sink.seen[0][2])
    text = json.dumps(said, ensure_ascii=False).replace("\\\\", "")
    assert [x for x in (*A3, CHART) if x not in text] == []


async def test_a_mail_has_everything_and_the_chart_inside(mail: SmtpSink) -> None:
    async def picture(_: Notification) -> bytes | None:
        return b"\x89PNG\r\n\x1a\nrest"

    channel = replace(email_channel(mail), picture=picture)
    assert isinstance(await channel.send(full()), Delivered)
    # The sink keeps the doubled dots of SMTP (RFC 5321, 4.5.2).
    whole = mail.mails[-1].replace("\r\n..", "\r\n.")
    message = email.message_from_string(whole, policy=email.policy.default)
    pages = message.get_body(("html",))
    assert pages is not None
    (image,) = [p for p in message.walk() if p.get_content_type() == "image/png"]
    assert image["Content-ID"] == "<chart@watchkeeper>" and image.get_content().startswith(b"\x89PNG")
    plain = message.get_body(("plain",))
    assert plain is not None
    html = " ".join(pages.get_content().split())
    assert "cid:chart@watchkeeper" in html and "http" not in html.split("<img")[1].split(">")[0]
    assert [x for x in A3 if x not in html] == [] and [x for x in A3 if x not in plain.get_content()] == []


async def test_a_mail_without_a_chart_has_no_image(mail: SmtpSink) -> None:
    async def nothing(_: Notification) -> bytes | None:
        return None

    await replace(email_channel(mail), picture=nothing).send(full())
    assert "image/png" not in mail.mails[-1] and "<img" not in mail.mails[-1]
