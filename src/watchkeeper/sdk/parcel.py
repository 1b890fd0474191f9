"""One finished request on its way to the server, in memory or in a spool file."""

import json
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"WKSPOOL1\n"


@dataclass(eq=False)
class Parcel:
    """``body`` for ``path``; ``spans`` and ``reports`` say what is lost with it, ``dropped`` what it tells."""

    path: str
    body: bytes
    content_type: str
    encoding: str = ""
    spans: int = 0
    reports: int = 0
    dropped: int = 0
    strikes: int = 0
    tried_at_success: int = -1

    @property
    def tells_only(self) -> bool:
        """Whether nothing is in it but the number of what was lost."""
        return self.dropped > 0 and not (self.spans or self.reports)

    def headers(self) -> dict[str, str]:
        """The HTTP headers this body needs."""
        head = {"Content-Type": self.content_type}
        return head | {"Content-Encoding": self.encoding} if self.encoding else head


def to_bytes(parcel: Parcel) -> bytes:
    """The parcel as a spool file's content: a magic line, a line of JSON, the body."""
    head = {
        "path": parcel.path,
        "content_type": parcel.content_type,
        "encoding": parcel.encoding,
        "spans": parcel.spans,
        "reports": parcel.reports,
        "dropped": parcel.dropped,
        "size": len(parcel.body),
    }
    return _MAGIC + json.dumps(head).encode() + b"\n" + parcel.body


def from_bytes(data: bytes) -> Parcel:
    """The parcel a spool file holds. Raises ``ValueError`` when the file is not whole."""
    if not data.startswith(_MAGIC):
        raise ValueError("not a Watchkeeper spool file")
    line, separator, body = data[len(_MAGIC) :].partition(b"\n")
    head = json.loads(line)
    if not separator or not isinstance(head, dict) or head.get("size") != len(body):
        raise ValueError("the spool file is cut short")
    return Parcel(
        path=str(head["path"]),
        body=body,
        content_type=str(head["content_type"]),
        encoding=str(head["encoding"]),
        spans=int(head["spans"]),
        reports=int(head["reports"]),
        dropped=int(head["dropped"]),
    )
