"""What would become many times larger in memory is refused from its bytes; what is only large is not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flow import malformed
from watchkeeper import wire
from watchkeeper.wire import prescan
from watchkeeper.wire.limits import Limits

SWELLING = malformed.swelling()
# Their memory is that of their numbers and texts, of which 20 MB cannot hold enough.
TAKEN = {"fractions in JSON", "texts in JSON"}


@pytest.mark.parametrize("kind", sorted(SWELLING.keys() - TAKEN))
def test_it_refuses_a_body_that_would_become_many_times_larger(kind: str) -> None:
    media, body = SWELLING[kind]()
    with pytest.raises(wire.TooLarge, match="send smaller batches"):
        wire.decode("traces", body, media)


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_it_refuses_records_of_every_signal(signal: str) -> None:
    media, body = SWELLING["the smallest spans"]()
    with pytest.raises(wire.TooLarge, match="more than 100000"):
        wire.decode(signal, body, media)


def test_a_large_body_of_short_lines_is_read() -> None:
    lines = b"def answer(question):\n\treturn search(question)[0]\n" * 60_000
    spans = [malformed.span_pb("ab" * 16, "cd" * 8, malformed.field(9, malformed.field(1, b"k")
             + malformed.field(2, malformed.field(1, lines)))) for _ in range(6)]  # fmt: skip
    body = malformed.traces_pb(*spans)
    assert len(body) > 18_000_000
    assert len(wire.decode("traces", body, malformed.PROTOBUF).spans) == 6


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@pytest.mark.parametrize("damaged", [b"\xff\xff", malformed.field(2, b"\x12\x7f")], ids=["group", "scope"])
def test_damage_in_a_large_body_costs_its_own_part_alone(signal: str, damaged: bytes) -> None:
    lines = malformed.field(1, b"\t\n" * 600_000)
    record = {
        "traces": malformed.span_pb("ab" * 16, "cd" * 8),
        "logs": malformed.field(5, lines),
        "metrics": malformed.field(1, b"llm.cost")
        + malformed.field(5, malformed.field(1, bytes([0x21, *bytes(8)]))),
    }[signal]
    good = malformed.field(1, malformed.field(2, malformed.field(2, record)))
    resource = malformed.field(
        1, malformed.field(1, malformed.field(1, malformed.field(1, b"k") + malformed.field(2, lines)))
    )
    body = resource + good + malformed.field(1, damaged) + good
    assert prescan.protobuf_parts(body), "it is one of those that are looked at closely"
    made = wire.decode(signal, body, malformed.PROTOBUF)
    assert len(made.spans or made.logs or made.metrics) == 2
    assert (made.received, len(made.rejected), made.damaged) == (3, 1, 1)


def test_json_in_a_text_is_no_part() -> None:
    rows = json.dumps([{"a": 1, "b\\": '"'}] * 500_000)
    sent = json.dumps({"x": rows, "y": [{}, {}]}).encode()
    assert prescan.json_parts(sent) == 4 * 3 + 1
    assert prescan.json_parts(rows.encode()) == 4 * 500_000 + 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def _small(data: bytes) -> int:
    """Messages of fewer than 32 bytes in a body of nothing but messages."""
    found = at = 0
    while at < len(data):
        _, at = _number(data, at)
        size, at = _number(data, at)
        found += (size < 32) + _small(data[at : at + size])
        at += size
    return found


def _wide(number: int) -> bytes:
    narrow = malformed.varint(number)
    return narrow[:-1] + bytes([narrow[-1] | 0x80, 0])


_tree = st.recursive(
    st.just(b""),
    lambda inner: st.lists(
        st.tuples(st.sampled_from([9, 11, 13, 5, 1, 2]), inner, st.booleans()), min_size=1, max_size=4
    ).map(lambda parts: b"".join(
        (_wide(n << 3 | 2) + _wide(len(d)) + d) if wide else malformed.field(n, d) for n, d, wide in parts)),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(_tree)
def test_small_messages_are_never_counted_too_few(body: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prescan, "FEW", 0)
        assert prescan.protobuf_parts(body) >= _small(body)


def test_the_limit_is_a_setting_of_the_decoder() -> None:
    body = malformed.traces_pb(malformed.span_pb("ab" * 16, "cd" * 8, malformed.field(9, b"") * 1_100_000))
    assert wire.decode("traces", body, malformed.PROTOBUF).counts["dropped_attributes"] == 1_090_000
    with pytest.raises(wire.TooLarge):
        wire.decode("traces", body, malformed.PROTOBUF, limits=Limits(parts=1_000_000))
