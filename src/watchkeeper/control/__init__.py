"""Levers: what Watchkeeper may do about an alert. Each can say what it would do, do it, and take it back."""

from watchkeeper.control.port import Did, Lever
from watchkeeper.control.webhook import Sent, WebhookLever

__all__ = ["Did", "Lever", "Sent", "WebhookLever"]
