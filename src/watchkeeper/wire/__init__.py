"""Bytes of the outside world to facts and back: the one decompressor, the one OTLP decoder."""

from watchkeeper.wire.decoded import Decoded, MetricPoint, Rejected
from watchkeeper.wire.errors import Malformed, TooLarge, UnsupportedEncoding, WireError
from watchkeeper.wire.inflate import MAX_BYTES, Inflater, inflate
from watchkeeper.wire.limits import Limits
from watchkeeper.wire.otlp import decode, encoding_of, export_response, rejection_message, status_response

__all__ = [
    "MAX_BYTES",
    "Decoded",
    "Inflater",
    "Limits",
    "Malformed",
    "MetricPoint",
    "Rejected",
    "TooLarge",
    "UnsupportedEncoding",
    "WireError",
    "decode",
    "encoding_of",
    "export_response",
    "inflate",
    "rejection_message",
    "status_response",
]
