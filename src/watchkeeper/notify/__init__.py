"""Channels: how a notification reaches people. One file per channel; adding one is a file and a line in `TYPES`."""

from watchkeeper.notify.channel import Channel, Delivered, Outcome, Permanent, Retry
from watchkeeper.notify.fakes import FakeHttp, FakeMail, RecordingChannel
from watchkeeper.notify.log import LogChannel
from watchkeeper.notify.mail import EmailChannel
from watchkeeper.notify.opsgenie import OpsgenieChannel
from watchkeeper.notify.pagerduty import PagerDutyChannel
from watchkeeper.notify.slack import SlackChannel
from watchkeeper.notify.teams import TeamsChannel
from watchkeeper.notify.webhook import WebhookChannel

TYPES = {
    "webhook": WebhookChannel,
    "slack": SlackChannel,
    "email": EmailChannel,
    "pagerduty": PagerDutyChannel,
    "teams": TeamsChannel,
    "opsgenie": OpsgenieChannel,
    "log": LogChannel,
}

__all__ = [
    "TYPES",
    "Channel",
    "Delivered",
    "EmailChannel",
    "FakeHttp",
    "FakeMail",
    "LogChannel",
    "OpsgenieChannel",
    "Outcome",
    "PagerDutyChannel",
    "Permanent",
    "RecordingChannel",
    "Retry",
    "SlackChannel",
    "TeamsChannel",
    "WebhookChannel",
]
