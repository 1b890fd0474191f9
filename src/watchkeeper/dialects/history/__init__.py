"""History exported from other products: one foreign record to raw spans and evaluation events.

What comes out is what that product's own OTLP export would have sent, so the dialects read it like live traffic and a
better dialect improves imported history too. A record's fields that mean nothing to us stay as attributes.
"""

from watchkeeper.dialects.history import braintrust, langfuse, langsmith, mlflow, phoenix, watchkeeper
from watchkeeper.dialects.history.common import Index, Taken, Unreadable

FORMATS = ("braintrust", "langfuse", "langsmith", "mlflow", "phoenix", "watchkeeper")
_READERS = {
    "watchkeeper": watchkeeper,
    "mlflow": mlflow,
    "braintrust": braintrust,
    "langsmith": langsmith,
    "phoenix": phoenix,
    "langfuse": langfuse,
}


def recognise(record: dict[str, object]) -> str | None:
    """The format of a record by its field names, None when it is nobody's."""
    return next((name for name, reader in _READERS.items() if reader.recognise(record)), None)


def note(form: str, record: dict[str, object], index: Index) -> None:
    """Remember of a record what others refer to; every record is noted before any is read."""
    _READERS[form].note(record, index)


def read(form: str, record: dict[str, object], index: Index) -> Taken:
    """The spans and evaluation events of one record. Raises `Unreadable` with the reason."""
    return _READERS[form].read(record, index)


__all__ = ["FORMATS", "Index", "Taken", "Unreadable", "note", "read", "recognise"]
