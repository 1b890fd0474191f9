"""What may arrive instead of OTLP: every class of malformed and hostile bodies, made from a seed.

Each body that can be read holds two good spans of its own around the bad one, so that a test can say whether they were stored.
"""

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.flow.sending import hex_id

JSON, PROTOBUF = "application/json", "application/x-protobuf"
GOOD = "good neighbour"
START = 1_795_000_000_000_000_000


@dataclass(frozen=True)
class Case:
    """One body. `rejected` is how many of its records are refused (None: the whole body is, with 400; -1: not said);
    `stored` are the span ids that must be there afterwards."""

    kind: str
    signal: str
    media: str
    body: bytes
    rejected: int | None
    stored: tuple[str, ...] = ()


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def span_pb(trace: str, span: str, *rest: bytes, name: bytes = GOOD.encode()) -> bytes:
    """A span as protobuf; `rest` is appended as it is."""
    times = b"\x39" + struct.pack("<Q", START) + b"\x41" + struct.pack("<Q", START + 10**9)
    ids = field(1, bytes.fromhex(trace)) + field(2, bytes.fromhex(span))
    return ids + field(5, name) + times + b"".join(rest)


def traces_pb(*spans: bytes) -> bytes:
    """An export request of these spans."""
    return field(1, field(2, b"".join(field(2, s) for s in spans)))


def span_json(trace: str, span: str, *rest: str, name: str = f'"{GOOD}"') -> str:
    """A span as JSON text; `rest` are further members as they are."""
    members = [
        f'"traceId":"{trace}"',
        f'"spanId":"{span}"',
        f'"name":{name}',
        f'"startTimeUnixNano":"{START}"',
    ]
    return "{" + ",".join([*members, f'"endTimeUnixNano":"{START + 10**9}"', *rest]) + "}"


def traces_json(*spans: str) -> bytes:
    """An export request of these spans."""
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[' + ",".join(spans) + "]}]}]}").encode(
        "utf-8", "surrogatepass"
    )


def attribute(value: str, key: str = '"k"') -> str:
    """The attributes member with one attribute of this value."""
    return f'"attributes":[{{"key":{key},"value":{value}}}]'


def nested_json(depth: int) -> str:
    """An attribute value nested so deeply."""
    return '{"arrayValue":{"values":[' * depth + '{"stringValue":"core"}' + "]}}" * depth


def nested_pb(depth: int) -> bytes:
    """The same as an attribute in protobuf."""
    value = field(1, b"core")
    for _ in range(depth):
        value = field(5, field(1, value))
    return field(9, field(1, b"k") + field(2, value))


# Class → the members of a span that is kept (True) or refused alone (False).
JSON_SPANS: dict[str, tuple[bool, Callable[[random.Random], str]]] = {
    "nested 49": (True, lambda r: attribute(nested_json(49))),
    "nested 60": (True, lambda r: attribute(nested_json(60))),
    "nested 10,000": (True, lambda r: attribute(nested_json(10_000))),
    "unknown enums": (True, lambda r: f'"kind":{r.choice(["99", "-1", _q("SPAN_KIND_X"), "1e9", "true"])},"status":{{"code":77}}'),
    "int64 as string": (True, lambda r: attribute(f'{{"intValue":"{r.getrandbits(62)}"}}')),
    "int64 as number": (True, lambda r: attribute(f'{{"intValue":{r.getrandbits(90) - 2**89}}}')),
    "int64 as float": (True, lambda r: attribute(f'{{"intValue":{r.getrandbits(20)}.0}}')),
    "counts out of range": (True, lambda r: f'"flags":"{r.getrandbits(120)}","droppedAttributesCount":{r.getrandbits(100)}'),
    "negative counts": (True, lambda r: '"flags":-1,"droppedAttributesCount":-5,"droppedEventsCount":-1'),
    "double of 1e400": (True, lambda r: attribute('{"doubleValue":1e400}')),
    "NaN and Infinity": (True, lambda r: attribute(f'{{"doubleValue":{r.choice(["NaN", "-Infinity", _q("NaN"), _q("Infinity")])}}}')),
    "duplicate keys": (True, lambda r: f'"name":"{GOOD}","kind":1,"kind":2,' + attribute('{"stringValue":"a","stringValue":"b"}')),
    "NUL": (True, lambda r: attribute('{"stringValue":"a\\u0000b"}', '"k\\u0000"')),
    "lone surrogates": (True, lambda r: attribute('{"stringValue":"cut \\ud83d here \\\\ud83d \\ud83d\\ude00"}', '"\\udc00"')),
    "RTL marks": (True, lambda r: attribute('{"stringValue":"\u202eevil\u2066\u200f"}', '"\u202ek"')),
    "unknown members": (True, lambda r: '"newField":{"a":[1,{}]},' + attribute('{"newValue":1}')),
    "self-parent": (True, lambda r: '"parentSpanId":"SELF"'),
    "missing parent": (True, lambda r: f'"parentSpanId":"{r.getrandbits(63) | 1:016x}"'),
    "upper-case ids": (True, lambda r: '"traceId":"TRACE","parentSpanId":"ABCDEFABCDEF0123"'),
    "times of any kind": (True, lambda r: f'"startTimeUnixNano":{r.choice([0, -5, 2**63, 2**64, 10**30, 1e300])}'),
    "vendor attributes of wrong types": (True, lambda r: attribute(r.choice(['{"intValue":5}', '{"boolValue":true}', '{"kvlistValue":{}}', '{"doubleValue":-1e308}', '{"bytesValue":"AA=="}', "{}", '{"stringValue":"[{]"}']), _q(r.choice(KNOWN)))),
    "id of wrong length": (False, lambda r: f'"spanId":"{"ab" * r.choice([1, 7, 9, 500])}"'),
    "id of zeros": (False, lambda r: f'"traceId":"{"0" * 32}"'),
    "id that is no hex": (False, lambda r: f'"traceId":"{r.choice("gxyz")}{"a" * 31}"'),
    "id that is no text": (False, lambda r: f'"spanId":{r.choice(["12", "[]", "{}", "true", "1e400"])}'),
    "int64 as 1e400": (False, lambda r: attribute('{"intValue":1e400}')),
    "int64 of 5,000 digits in text": (False, lambda r: attribute(f'{{"intValue":"{"9" * 5000}"}}')),
    "int64 of 5,000 digits": (False, lambda r: attribute(f'{{"intValue":{"9" * 5000}}}')),
    "double of 5,000 digits": (True, lambda r: attribute(f'{{"doubleValue":{"9" * 5000}}}')),
    "int64 as a word": (False, lambda r: attribute('{"intValue":"many"}')),
    "value that is bare": (False, lambda r: attribute(r.choice(["5", '"x"', "[]", "true"]))),
    "attributes of the wrong shape": (False, lambda r: f'"attributes":{r.choice(["5", "{}", "[5]", _q("x"), "[{}]"])}'),
    "events of the wrong shape": (False, lambda r: f'"events":{r.choice(["5", "{}", "[5]", _q("x")])}'),
    "links of the wrong shape": (False, lambda r: f'"links":{r.choice(["5", "{}", "[[]]", "[{" + _q("traceId") + ":" + _q("x") + "}]"])}'),
    "status of the wrong shape": (False, lambda r: f'"status":{r.choice(["5", "[]", _q("ok")])}'),
}  # fmt: skip
KNOWN = ("gen_ai.usage.input_tokens", "gen_ai.input.messages", "gen_ai.request.model", "session.id", "user.id", "llm.input_messages", "input.value",
         "traceloop.entity.input", "langfuse.observation.type", "ai.prompt.messages", "mlflow.spanInputs", "gen_ai.response.finish_reasons",
         "gen_ai.operation.name", "llm.token_count.prompt", "gen_ai.usage.cost", "watchkeeper.scenario", "openinference.span.kind")  # fmt: skip

PB_SPANS: dict[str, tuple[bool, Callable[[random.Random], bytes]]] = {
    "nested 31": (True, lambda r: nested_pb(31)),
    "nested 10,000": (False, lambda r: nested_pb(10_000)),
    "unknown enums": (True, lambda r: b"\x30" + varint(r.randrange(6, 2**31)) + field(15, b"\x18\x63")),
    "unknown fields": (True, lambda r: varint(r.randrange(50, 2**20) << 3) + varint(r.getrandbits(60))),
    "wrong wire types": (True, lambda r: b"\x28\x05" + b"\x4d" + b"abcd" + field(7, b"12345678")),
    "NaN": (True, lambda r: field(9, field(1, b"k") + field(2, b"\x21" + struct.pack("<d", r.choice([float("nan"), float("inf")]))))),
    "NUL": (True, lambda r: field(9, field(1, b"k\x00") + field(2, field(1, b"a\x00b")))),
    "duplicate keys": (True, lambda r: field(9, field(1, b"k") + field(2, field(1, b"a"))) * 3),
    "missing parent": (True, lambda r: field(4, r.randbytes(7) + b"\x01")),
    "times of any kind": (True, lambda r: b"\x39" + struct.pack("<Q", r.choice([0, 1, 2**63, 2**64 - 1]))),
    "empty value": (True, lambda r: field(9, b"") + field(11, b"") + field(13, b"")),
    "vendor attributes of wrong types": (True, lambda r: field(9, field(1, r.choice(KNOWN).encode()) + field(2, r.choice([b"", b"\x18\x05", b"\x10\x01", field(5, b""), field(6, b""), field(7, b"\xff"), field(1, b"[{]")])))),
    "id of wrong length": (False, lambda r: field(2, b"\x01" * r.choice([1, 7, 9, 500]))),
    "id of zeros": (False, lambda r: field(1, bytes(16))),
    "parent of wrong length": (False, lambda r: field(4, b"123")),
    "invalid UTF-8": (False, lambda r: field(5, r.choice([b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"\xc0\x80"]))),
    "varint that does not end": (False, lambda r: b"\x30" + b"\xff" * 10),
    "group that does not end": (False, lambda r: b"\x33"),
    "field number zero": (False, lambda r: b"\x02\x01a"),
    "cut inside the span": (False, lambda r: b"\x4a\x7f\x0a"),
}  # fmt: skip

# Bodies that are refused as a whole, whatever the signal.
JSON_BODIES: dict[str, Callable[[random.Random], bytes]] = {
    "nothing": lambda r: r.choice([b"", b" ", b"\xef\xbb\xbf"]),
    "not an object": lambda r: r.choice([b"[]", b'"x"', b"5", b"null", b"NaN", b"true"]),
    "brackets": lambda r: r.choice([b"[", b'{"a":']) * r.randrange(2000, 100_000),
    "UTF-16": lambda r: '{"resourceSpans":[]}'.encode("utf-16"),
    "envelope of the wrong shape": lambda r: b'{"%b":%b}' % (
        r.choice([b"resourceSpans", b"resource_spans"]),
        r.choice([b"5", b"{}", b"[5]", b'[{"scopeSpans":5}]', b'[{"scopeSpans":[5]}]', b'[{"scopeSpans":[{"spans":{}}]}]', b'[{"resource":[]}]',
                  b'[{"resource":{"attributes":[{"key":5}]}}]'])),
}  # fmt: skip
PB_BODIES: dict[str, Callable[[random.Random], bytes]] = {
    "noise": lambda r: b"\xff" * r.randrange(1, 60),
    "length beyond the end": lambda r: b"\x0a" + varint(r.randrange(100, 2**40)) + b"abc",
    "varint that does not end": lambda r: b"\x0a" + b"\x80" * r.randrange(1, 30),
    "field number zero": lambda r: b"\x00\x00",
    "group": lambda r: b"\x0b\x0a",
    "JSON": lambda r: b'{"resourceSpans":[]}',
    "scope that is no scope": lambda r: field(1, field(2, field(1, b"\xff\xff"))),
    "resource that is no resource": lambda r: field(1, field(1, b"\xff\xff")),
}
# Bodies with nothing in them: taken.
EMPTY: dict[str, list[bytes]] = {
    JSON: [b"{}", b'{"resourceSpans":[]}', b'{"resourceSpans":null}', b'{"resourceSpans":[{}]}', b'{"resourceSpans":[{"scopeSpans":[{}]}]}', b'{"x":1}'],
    PROTOBUF: [b"", field(1, b""), field(1, field(2, b"")), field(99, b"abc")],
}  # fmt: skip


def _q(text: str) -> str:
    return json.dumps(text)


def _one(number: int, chance: random.Random, kind: str, keeps: bool, media: str, rest: str | bytes) -> Case:
    trace, ids = hex_id("malformed", number), [hex_id("malformed", number, i, digits=16) for i in range(3)]
    if isinstance(rest, str):
        bad = span_json(
            trace, ids[1], rest.replace("SELF", ids[1]).replace("TRACE", trace.upper()), name='"bad"'
        )
        body = traces_json(span_json(trace, ids[0]), bad, span_json(trace, ids[2]))
        if chance.random() < 0.1:
            # A byte order mark, and text that is not UTF-8: replaced, never a reason to lose a span.
            body = b"\xef\xbb\xbf" + body.replace(b'"bad"', b'"b\xe4d"')
    else:
        bad = span_pb(trace, ids[1], rest, name=b"bad")
        body = traces_pb(span_pb(trace, ids[0]), bad, span_pb(trace, ids[2]))
    return Case(kind, "traces", media, body, 0 if keeps else 1, tuple(ids) if keeps else (ids[0], ids[2]))


def _logs(kind: str, media: str, body: bytes, chance: random.Random) -> Case:
    signal = chance.choice(("logs", "metrics"))
    for old, new in (
        (b"resourceSpans", b"resourceLogs"),
        (b"scopeSpans", b"scopeLogs"),
        (b'"spans"', b'"logRecords"'),
    ):
        body = body.replace(
            old,
            new if signal == "logs" else new.replace(b"Logs", b"Metrics").replace(b"logRecords", b"metrics"),
        )
    return Case(f"{kind} as {signal}", signal, media, body, -1)


def _together(number: int, chance: random.Random) -> Case:
    """One span twice in a batch, and parents in a circle."""
    trace, a, b = (
        hex_id("malformed", number),
        hex_id("circle", number, digits=16),
        hex_id("circle", -number - 1, digits=16),
    )
    first, second = span_json(trace, a, f'"parentSpanId":"{b}"'), span_json(trace, b, f'"parentSpanId":"{a}"')
    return Case("twice and in a circle", "traces", JSON, traces_json(first, second, first), 0, (a, b))


def _cut(number: int, chance: random.Random) -> Case:
    """A good request that ends too early."""
    media = chance.choice((JSON, PROTOBUF))
    whole = _one(number, chance, "cut", True, media, '"kind":1' if media == JSON else b"\x30\x01").body
    return Case("cut", "traces", media, whole[: chance.randrange(1, len(whole))], None)


def _wide(number: int, chance: random.Random) -> Case:
    """Lengths in more bytes than they need, which protobuf allows: read or refused, never a fault."""
    body = traces_pb(span_pb(hex_id("wide", number), hex_id("wide", number, digits=16)))
    return Case("wide varints", "traces", PROTOBUF, b"\x8a\x80\x00" + body[1:], -1)


def case(number: int, seed: int) -> Case:
    """The body of this number; every class comes round in turn."""
    chance = random.Random(f"{seed}/{number}")
    kinds: list[Callable[[], Case]] = [
        *(lambda k=k, v=v: _one(number, chance, k, v[0], JSON, v[1](chance)) for k, v in JSON_SPANS.items()),
        *(lambda k=k, v=v: _one(number, chance, k, v[0], PROTOBUF, v[1](chance)) for k, v in PB_SPANS.items()),
        *(lambda k=k, v=v: Case(k, "traces", JSON, v(chance), None) for k, v in JSON_BODIES.items()),
        *(lambda k=k, v=v: Case(k, "traces", PROTOBUF, v(chance), None) for k, v in PB_BODIES.items()),
        *(lambda m=m, v=v: Case("empty", "traces", m, chance.choice(v), 0) for m, v in EMPTY.items()),
        *(lambda k=k, v=v: _logs(k, JSON, v(chance), chance) for k, v in JSON_BODIES.items()),
        *(lambda k=k, v=v: _logs(k, PROTOBUF, v(chance), chance) for k, v in PB_BODIES.items()),
        lambda: _together(number, chance), lambda: _cut(number, chance), lambda: _wide(number, chance),
    ]  # fmt: skip
    return kinds[number % len(kinds)]()


def large() -> list[Case]:
    """Bodies of very many parts, or one very large: cut with a mark. Of still more parts see `swelling`."""
    trace, ids = hex_id("large"), [hex_id("large", i, digits=16) for i in range(9)]
    text, empty = field(9, field(1, b"note") + field(2, field(1, b"x" * (16 << 20)))), field(1, b"")
    rests: dict[str, bytes] = {
        "1,000,000 attributes": field(9, field(1, b"k")) * 1_000_000,
        "an attribute of 16 MB": text,
        "content of 16 MB": text.replace(b"note", b"text"),
        "10,000 events": field(11, field(2, b"e")) * 10_000,
        "10,000 links": field(13, field(1, b"\x01" * 16) + field(2, b"\x02" * 8)) * 10_000,
        "4,000,000 values": field(9, field(1, b"k") + field(2, field(5, empty * 4_000_000))),
        "1,000,000 events": field(11, b"") * 1_000_000,
    }
    made = [
        Case(kind, "traces", PROTOBUF, traces_pb(span_pb(trace, ids[i], rest)), 0, (ids[i],))
        for i, (kind, rest) in enumerate(rests.items())
    ]
    attributes = '"attributes":[' + '{"key":"k"},' * 1_000_000 + '{"key":"k"}]'
    made.append(
        Case(
            "1,000,000 attributes",
            "traces",
            JSON,
            traces_json(span_json(trace, ids[8], attributes)),
            0,
            (ids[8],),
        )
    )
    return made


SWELLING_BYTES = (20 << 20) - 1000


def swelling() -> dict[str, Callable[[], tuple[str, bytes]]]:
    """Bodies near the limit of size that would become many times larger in memory, if all they hold were built: made when
    they are wanted."""
    trace, own = hex_id("swelling"), hex_id("swelling", digits=16)
    empty, key = field(1, b""), field(1, b"k")
    chain = b""
    for _ in range(40):
        chain = field(5, field(1, chain))
    of_request = {"empty groups": field(1, b""), "empty groups, numbers written wide": b"\x8a\x00\x80\x00"}
    of_scope = {
        "empty spans": field(2, b""),
        "spans of an empty status": field(2, field(15, b"")),
        "the smallest spans": field(2, field(1, bytes.fromhex(trace)) + field(2, bytes.fromhex(own))),
    }
    of_span = {"empty attributes": field(9, b""), "empty events": field(11, b""), "empty links": field(13, b""),
               "attributes of an empty value": field(9, field(2, b"")), "events of an attribute": field(11, field(3, key))}  # fmt: skip
    of_value = {"values": (5, empty), "pairs": (6, empty), "lists in lists": (5, field(1, chain)),
                "pairs in pairs": (5, field(1, field(6, field(1, key + field(2, field(6, empty))))))}  # fmt: skip

    def fill(unit: bytes) -> bytes:
        return unit * (SWELLING_BYTES // len(unit))

    def value(number: int, unit: bytes) -> bytes:
        return traces_pb(span_pb(trace, own, field(9, key + field(2, field(number, fill(unit))))))

    def text(before: str, unit: str, after: str) -> bytes:
        return traces_json(span_json(trace, own, before + unit * (SWELLING_BYTES // len(unit)) + after))

    of_json = {"empty objects": ('"links":[', "{},", "{}]"), "empty lists": ('"events":[', "[],", "[]]"),
               "objects": ('"attributes":[', '{"":0},', "{}]"), "fractions": ('"x":[', "0.5,", "1]"), "texts": ('"x":[', '"ab",', "1]"),
               "attributes": ('"attributes":[', '{"key":"k","value":{"intValue":1}},', '{"key":"k"}]')}  # fmt: skip
    return {
        **{k: lambda u=u: (PROTOBUF, fill(u)) for k, u in of_request.items()},
        **{k: lambda u=u: (PROTOBUF, field(1, field(2, fill(u)))) for k, u in of_scope.items()},
        **{k: lambda u=u: (PROTOBUF, traces_pb(span_pb(trace, own, fill(u)))) for k, u in of_span.items()},
        **{k: lambda u=u: (PROTOBUF, value(*u)) for k, u in of_value.items()},
        **{f"{k} in JSON": lambda u=u: (JSON, text(*u)) for k, u in of_json.items()},
    }


def damaged(body: bytes, chance: random.Random) -> bytes:
    """The body with a few bytes changed, cut out, doubled or put in."""
    out = bytearray(body or b"\x00")
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(out) + 1)
        kind = chance.randrange(5)
        if kind == 0 and at < len(out):
            out[at] = chance.randrange(256)
        elif kind == 1:
            del out[at : at + chance.randint(1, 20)]
        elif kind == 2:
            out[at:at] = chance.randbytes(chance.randint(1, 6))
        elif kind == 3:
            out[at:at] = out[at : at + chance.randint(1, 40)]
        elif at < len(out):
            out[at] ^= 1 << chance.randrange(8)
    return bytes(out)
