"""What can be wrong with a body before anything in it is looked at."""


class WireError(Exception):
    """A request that cannot be read. `http` is the status to answer, `grpc` the numeric code for gRPC and `Status`."""

    http = 400
    grpc = 3


class Malformed(WireError):
    """The bytes are not what they claim to be; the message says where and what."""


class TooLarge(WireError):
    """More than the limit after inflation, or an inflation ratio no honest client reaches."""

    http = 413
    grpc = 8


class UnsupportedEncoding(WireError):
    """A content encoding or content type this server does not read."""

    http = 415
    grpc = 3
