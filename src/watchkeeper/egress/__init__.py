"""The only way out: every connection this product opens to another host is checked here, at connect."""

from watchkeeper.egress.http import Answer, Egress
from watchkeeper.egress.policy import EgressRefused, Policy
from watchkeeper.egress.smtp import MailAnswer, Mailer, SmtpServer

__all__ = ["Answer", "Egress", "EgressRefused", "MailAnswer", "Mailer", "Policy", "SmtpServer"]
