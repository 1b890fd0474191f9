"""Mails: what a person reads in them."""

from dataclasses import replace
from email.message import EmailMessage

from tests.unit.alerting.test_report import facts
from watchkeeper.alerting.report import payload, weekly
from watchkeeper.model.alert import Notification
from watchkeeper.notify.mail import render


def page(notification: Notification) -> str:
    body = render(notification, "watch@example.com", ("a@example.com",)).get_body(("html",))
    assert isinstance(body, EmailMessage)
    return body.get_content()


def test_the_weekly_summary_is_a_page_with_its_tables() -> None:
    report = weekly(replace(facts(), project="<shop>"))
    made = Notification(
        id="n", project="shop", alert_id="weekly", dedup_key="wk", route="team", event="weekly",
        subject="[WEEKLY] shop: fine", text="# text", payload=payload(report), created_ns=1, next_attempt_ns=1,
    )  # fmt: skip
    html = page(made)
    for part in report.parts:
        assert part.title in html
        for row in part.grid.rows if part.grid else []:
            assert row[0].replace("'", "&#x27;") in html or "&" in row[0]
    assert html.count("<table") == sum(bool(p.grid and p.grid.rows) for p in report.parts) > 0
    # Nobody owns a summary, and nothing is wrong.
    assert "Owner" not in html and "#b42318" not in html


def test_what_a_trace_said_cannot_become_markup_in_a_report() -> None:
    section = {"title": "<b>", "says": ["<i>"], "columns": ["<u>"], "rows": [["<script>"]]}
    made = Notification(
        id="n", project="p", alert_id="weekly", dedup_key="wk", route="team", event="weekly",
        subject="s", text="t", payload={"status": "ok", "sections": [section]}, created_ns=1, next_attempt_ns=1,
    )  # fmt: skip
    html = page(made)
    assert not any(tag in html for tag in ("<b>", "<i>", "<u>", "<script>"))
