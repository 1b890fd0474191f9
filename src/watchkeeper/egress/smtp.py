"""Outgoing mail: the standard library's SMTP client in a thread, connecting only where the policy permits.

A thread rather than an asyncio client: mail is a few messages an hour and the standard library's client is the
one every mail server has been tested against.
"""

import asyncio
import ipaddress
import smtplib
import socket
import ssl
from dataclasses import dataclass
from email.message import EmailMessage

from watchkeeper.egress.policy import EgressRefused, Policy

MAIL_PORTS = (25, 465, 587)


@dataclass(frozen=True)
class MailAnswer:
    """`sent`, or why not: `retry` says whether the server or network may accept it later."""

    sent: bool
    reason: str = ""
    retry: bool = False


@dataclass(frozen=True)
class SmtpServer:
    """Where mail goes. `security`: `starttls` (default), `tls` (port 465) or `none`, which the operator's list must
    cover because it sends the password and the message readable."""

    host: str
    port: int = 587
    username: str | None = None
    password: str | None = None
    security: str = "starttls"
    timeout_s: float = 10.0

    def __repr__(self) -> str:
        return f"SmtpServer({self.host}:{self.port}, security={self.security})"


def connect_checked(policy: Policy, host: str, port: int, timeout: float) -> socket.socket:
    """Resolve `host` once and connect to the first permitted address that answers; `EgressRefused` when none is permitted."""
    refused = True
    last: OSError = OSError(f"{host} has no address")
    for family, kind, proto, _, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        text = str(sockaddr[0])
        if "%" in text or not policy.permits(host.lower(), port, ipaddress.ip_address(text), MAIL_PORTS):
            continue
        refused = False
        made = socket.socket(family, kind, proto)
        made.settimeout(timeout)
        try:
            made.connect(sockaddr)
        except OSError as error:
            made.close()
            last = error
            continue
        return made
    if refused:
        raise EgressRefused(f"{host}:{port} is not an allowed mail server address")
    raise last


class _Plain(smtplib.SMTP):
    def __init__(self, policy: Policy, server: SmtpServer) -> None:
        self._policy = policy
        super().__init__(server.host, server.port, timeout=server.timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return connect_checked(self._policy, host, port, timeout)


class _Tls(_Plain):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return ssl.create_default_context().wrap_socket(
            connect_checked(self._policy, host, port, timeout), server_hostname=host
        )


class Mailer:
    """Sends messages through one server."""

    def __init__(self, policy: Policy, server: SmtpServer) -> None:
        if server.security not in ("starttls", "tls", "none"):
            raise ValueError(f"mail security '{server.security}' is not one of starttls, tls, none")
        if server.security == "none" and not self._listed(policy, server):
            raise ValueError(
                f"mail to {server.host}:{server.port} without TLS needs the operator's allow-list to name it"
            )
        self._policy = policy
        self._server = server

    @staticmethod
    def _listed(policy: Policy, server: SmtpServer) -> bool:
        try:
            address = ipaddress.ip_address(server.host)
        except ValueError:
            return any(e.host == server.host.lower() and e.port in (None, server.port) for e in policy.allow)
        return policy.listed(server.host, server.port, address)

    def _send(self, message: EmailMessage) -> MailAnswer:
        server = self._server
        try:
            with (_Tls if server.security == "tls" else _Plain)(self._policy, server) as client:
                if server.security == "starttls":
                    client.starttls(context=ssl.create_default_context())
                if server.username is not None and server.password is not None:
                    client.login(server.username, server.password)
                client.send_message(message)
        except EgressRefused as refused:
            return MailAnswer(False, str(refused))
        except smtplib.SMTPAuthenticationError:
            return MailAnswer(False, "the mail server refused the user name or password")
        except smtplib.SMTPNotSupportedError:
            return MailAnswer(
                False, f"{server.host} does not offer STARTTLS; use security: tls or another server"
            )
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            return MailAnswer(
                False, f"recipients refused ({codes})", retry=all(400 <= c < 500 for c in codes)
            )
        except smtplib.SMTPResponseException as error:
            code = int(error.smtp_code)
            return MailAnswer(False, f"the mail server answered {code}", retry=not 500 <= code < 600)
        except ssl.SSLCertVerificationError:
            return MailAnswer(False, f"the certificate of {server.host} is not valid", retry=True)
        except (smtplib.SMTPException, OSError) as error:
            return MailAnswer(False, f"the mail server did not answer ({type(error).__name__})", retry=True)
        return MailAnswer(True)

    async def send(self, message: EmailMessage) -> MailAnswer:
        """Hand `message` to the server. Never raises for the network."""
        return await asyncio.to_thread(self._send, message)
