"""Ports: taken, or refused with a clear message."""

import socket


class PortBusy(OSError):
    """A port is taken; the text says which and what to do."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds the port and does not listen yet. Raises `PortBusy`."""
    if not 0 <= port <= 65535:
        raise PortBusy(f"port {port}: a port is 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise PortBusy(
            f"port {port} on {host} cannot be used ({error.strerror}); choose another with --port"
        ) from error
    return made


def grpc_busy(host: str, port: int) -> PortBusy:
    """What is said of a gRPC port that cannot be used."""
    return PortBusy(
        f"gRPC port {port} on {host} cannot be used, another program may hold it; "
        "choose another with --grpc-port, or switch gRPC off with --grpc-port 0"
    )


def check_ports(host: str, port: int, grpc_port: int | None = None) -> None:
    """Raises `PortBusy` for a port that cannot be used now. Holds none: only `bound` is a promise."""
    bound(host, port).close()
    if grpc_port:
        if grpc_port == port:
            raise grpc_busy(host, grpc_port)
        try:
            bound(host, grpc_port).close()
        except PortBusy as error:
            raise grpc_busy(host, grpc_port) from error
