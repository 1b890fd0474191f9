import socket

import pytest

from watchkeeper.egress.policy import EgressRefused, Policy
from watchkeeper.egress.smtp import Mailer, SmtpServer, connect_checked


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "::1", "169.254.169.254", "0x7f.1", "2130706433"]
)
def test_a_mail_server_inside_is_never_connected_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        opened.append(address)
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises((EgressRefused, OSError)):
        connect_checked(Policy(), host, 25, 0.1)
    assert opened == []


def test_only_mail_ports_of_public_servers() -> None:
    with pytest.raises(EgressRefused):
        connect_checked(Policy(), "8.8.8.8", 443, 0.1)


def test_an_unknown_kind_of_security_is_refused() -> None:
    with pytest.raises(ValueError, match="starttls, tls, none"):
        Mailer(Policy(), SmtpServer("mail.example.com", security="ssl"))
