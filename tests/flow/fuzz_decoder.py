"""Coverage-guided bodies for the decoder, with atheris (`pip install atheris`; no dependency of the project).

    python -m tests.flow.fuzz_decoder -runs=1000000 -max_len=600 FOLDER

The first byte of an input chooses signal and encoding. The folder keeps what reached new code; an empty one is filled from
the classes of `malformed`.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["watchkeeper.wire"]):
    from watchkeeper import wire

from tests.flow import malformed

SIGNALS, MEDIA = ("traces", "logs", "metrics"), (malformed.JSON, malformed.PROTOBUF)


def one(data: bytes) -> None:
    """Any body is read or refused with a reason, and no record of it is lost."""
    if not data:
        return
    try:
        read = wire.decode(SIGNALS[data[0] % 3], data[1:], MEDIA[data[0] // 3 % 2], now_ns=malformed.START)
    except wire.WireError as error:
        assert str(error)
        return
    assert (
        read.received
        == len(read.spans) + len(read.logs) + len(read.rejected) + len(read.metrics) + read.ignored
    )


def fill(folder: Path) -> None:
    """A body of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return
    for number in range(100):
        case = malformed.case(number, 0)
        start = SIGNALS.index(case.signal) + 3 * MEDIA.index(case.media)
        (folder / f"{number}").write_bytes(bytes([start]) + case.body[:2000])


if __name__ == "__main__":
    fill(Path(sys.argv[-1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
