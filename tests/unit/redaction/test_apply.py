"""Whole spans and logs are redacted in every string, and nothing else of them changes."""

import copy
import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from watchkeeper.dialects import context, normalise
from watchkeeper.model.span import LogRecord, RawEvent, RawLink, RawSpan
from watchkeeper.redaction.apply import Redactor, keyed_hash, redact_pieces, redact_raw
from watchkeeper.redaction.policy import Policy, PolicySpec

EMAIL = "ann.lee@example.com"


def raw(**more: Any) -> RawSpan:
    fields: dict[str, Any] = {
        "trace_id": "4" * 32,
        "span_id": "1" * 16,
        "parent_id": None,
        "name": "chat",
        "otel_kind": "client",
        "start_ns": 1_750_000_000_000_000_000,
        "end_ns": 1_750_000_001_000_000_000,
        "status": "ok",
        "status_message": None,
        "attributes": {},
        "events": [],
        "links": [],
        "resource": {},
    }
    return RawSpan(**{**fields, **more})


def test_every_string_of_a_span_is_redacted() -> None:
    span = raw(
        name=f"mail {EMAIL}",
        status_message=f"failed for {EMAIL}",
        trace_state=f"v={EMAIL}",
        scope_name=f"agent of {EMAIL}",
        scope_version=f"1.0 by {EMAIL}",
        attributes={
            "gen_ai.prompt": f'[{{"content": "I am {EMAIL}"}}]',
            f"header.{EMAIL}": 1,
            "list": ["a", EMAIL, [EMAIL]],
            "map": {"inner": {EMAIL: EMAIL}},
            "bytes": EMAIL.encode(),
            "card": 4111111111111111,
        },
        resource={"host.owner": EMAIL},
        events=[RawEvent("exception", 1, {"exception.message": f"no mail for {EMAIL}"})],
        links=[RawLink("5" * 32, "2" * 16, {"who": EMAIL})],
    )
    counts = redact_raw(span)
    assert b"ann.lee" not in msgspec.json.encode(span)
    assert b"4111111111111111" not in msgspec.json.encode(span)
    assert counts["email"] == 15 and counts["card"] == 1
    assert (span.trace_id, span.span_id, span.links[0].trace_id) == ("4" * 32, "1" * 16, "5" * 32)


def test_a_clean_span_is_left_exactly_as_it_was() -> None:
    span = raw(
        attributes={
            "gen_ai.request.model": "gpt-4o",
            "n": 7,
            "f": 0.5,
            "b": True,
            "none": None,
            "ids": ["a1", "b2"],
        },
        resource={"service.name": "shop"},
        events=[RawEvent("token", 1, {"text": "hello "}), RawEvent("token", 2, {"text": "world"})],
    )
    before = copy.deepcopy(span)
    assert redact_raw(span) == {}
    assert span == before


def test_a_log_record_is_redacted_in_body_and_attributes() -> None:
    log = LogRecord(
        "4" * 32, "1" * 16, 1, "gen_ai.user.message", 9, {"content": f"I am {EMAIL}"}, {"x": EMAIL}, {}
    )
    assert redact_raw(log) == {"email": 2}
    assert log.body == {"content": "I am [EMAIL]"} and log.attributes == {"x": "[EMAIL]"}


def test_an_attributes_name_is_context_for_its_value() -> None:
    span = raw(attributes={"customer.phone": "5552671234", "order.number": "5552671234"})
    redact_raw(span)
    assert span.attributes == {"customer.phone": "[PHONE]", "order.number": "5552671234"}


def test_a_number_that_was_clean_under_one_name_is_found_under_another() -> None:
    redactor = Redactor()
    said = {"order.number": "5552671234", "customer.phone": "5552671234"}
    for _ in range(2):
        span = raw(attributes=dict(said), name="5552671234")
        redactor.span(span)
        assert span.attributes == {"order.number": "5552671234", "customer.phone": "[PHONE]"}
        assert span.name == "5552671234"


def test_what_every_span_repeats_is_one_string_for_all_of_them() -> None:
    redactor = Redactor()
    spans: list[RawSpan] = []
    for _ in range(2):
        # As a decoder yields them: equal texts, each its own.
        sent = {"gen_ai.request.model": "gpt-4o-2024-08-06", "user.id": "user-12", "answer.kind": "summary"}
        span = raw(
            name="".join(("chat ", "gpt-4o")),
            attributes={"".join(list(k)): "".join(list(v)) for k, v in sent.items()},
            scope_name="".join(("opentelemetry", ".openai")),
        )
        redactor.span(span)
        spans.append(span)
    first, second = spans
    assert first.name is second.name and first.scope_name is second.scope_name
    assert list(first.attributes.items()) == list(second.attributes.items())
    for (key, value), (key2, value2) in zip(first.attributes.items(), second.attributes.items(), strict=True):
        assert key is key2 and value is value2


def test_what_is_remembered_does_not_grow_without_end() -> None:
    redactor = Redactor()
    for n in range(5_000):
        redactor.span(raw(attributes={"user.id": f"user-{n}", f"key.{n}": "x" * (n % 60)}, name=f"name {n}"))
    known = [v for v in vars(redactor).values() if isinstance(v, dict)]
    assert known and all(len(v) <= 20_000 for v in known)
    assert sum(map(len, known)) < 30_000


def test_credentials_in_header_attributes_go_whatever_they_look_like() -> None:
    span = raw(
        attributes={
            "http.request.header.authorization": "Basic abcdef",
            "http.request.header.accept": "text/html",
        }
    )
    redact_raw(span)
    assert span.attributes["http.request.header.authorization"] == "[SECRET]"
    assert span.attributes["http.request.header.accept"] == "text/html"


def test_pieces_of_a_stream_are_redacted_together() -> None:
    events = [
        RawEvent("gen_ai.choice.chunk", i, {"delta": t})
        for i, t in enumerate(["I am ann.l", "ee@exa", "mple.com, hi"])
    ]
    span = raw(events=events)
    assert redact_raw(span) == {"email": 1}
    assert "".join(e.attributes["delta"] for e in span.events) == "I am [EMAIL], hi"
    assert redact_pieces(["a", "b"], None, Counter()) == ["a", "b"]


def test_user_ids_stay_apart_when_hashed_and_cannot_be_guessed_without_the_key() -> None:
    redactor = Redactor(Policy(PolicySpec(user_ids="hash", key="k1")))
    spans = [raw(attributes={"user.id": u}) for u in ("ann", "bob", "ann")]
    for span in spans:
        redactor.span(span)
    first, second, third = (s.attributes["user.id"] for s in spans)
    assert first == third != second and "ann" not in first
    assert keyed_hash("ann", "k1") == first != keyed_hash("ann", "k2")


def aliases() -> list[str]:
    known = [
        *context.DEFAULT.user,
        "acme.user.id",
        "acme.user_id",
        "acme.userId",
        "usr.id",
        "user.account_uuid",
    ]
    return known + [
        f"{p}{n}" for p in context.METADATA_PREFIXES for n in ("user_id", "userId", "endUser", "user")
    ]


@pytest.mark.parametrize("name", aliases())
def test_whatever_name_the_user_s_id_has_it_is_hashed_or_dropped(name: str) -> None:
    hashed, dropped, kept = (
        Redactor(Policy(PolicySpec(user_ids=mode, key="k1"))) for mode in ("hash", "drop", "keep")
    )
    spans = [raw(attributes={name: "ann-4711", "tenant": "acme"}) for _ in range(3)]
    for redactor, span in zip((hashed, dropped, kept), spans, strict=True):
        redactor.span(span)
    assert [s.attributes.get(name) for s in spans] == [keyed_hash("ann-4711", "k1"), None, "ann-4711"]
    assert {s.attributes["tenant"] for s in spans} == {"acme"}
    # What is read of it is what is stored.
    users = [normalise(s).context.user_id for s in spans]
    assert users[0] in (None, keyed_hash("ann-4711", "k1")) and users[1] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", '{"user": "ann-4711", "plan": "pro"}'), ("metadata", {"userId": "ann-4711", "plan": "pro"}),
        ("langfuse.trace.metadata", '{"end_user": "ann-4711", "plan": "pro"}'),
        ("llm.request", '{"plan": "pro", "user_id": "ann-4711"}'), ("input.value", "{'userId': 'ann-4711', 'plan': 'pro'}"),
        ("raw", '{"body": "{\\"user_id\\": \\"ann-4711\\", \\"plan\\": \\"pro\\"}"}'),
        ("nested", {"request": [{"user": {"user_id": "ann-4711"}, "plan": "pro"}]}),
    ],
)  # fmt: skip
def test_an_id_inside_of_a_value_is_hashed_too(name: str, value: Any) -> None:
    span = raw(attributes={name: value})
    Redactor(Policy(PolicySpec(user_ids="hash", key="k1"))).span(span)
    said = repr(span.attributes[name])
    assert "ann-4711" not in said and keyed_hash("ann-4711", "k1") in said and "pro" in said
    if isinstance(value, str) and value.startswith('{"'):
        assert isinstance(json.loads(span.attributes[name]), dict)
    gone = raw(attributes={name: value})
    Redactor(Policy(PolicySpec(user_ids="drop"))).span(gone)
    assert "ann-4711" not in repr(gone.attributes)


def test_what_only_looks_like_a_user_s_id_stays() -> None:
    told = {
        "prompt.user": "what is it?", "gen_ai.llm.input.user": "what is it?", "browser_id": "b-1", "advertiser.id": "a-1",
        "messages": [{"role": "user", "user": "hello"}], "note": 'the user: "ann-4711"', "superuser": "yes",
    }  # fmt: skip
    span = raw(attributes=dict(told))
    Redactor(Policy(PolicySpec(user_ids="hash", key="k1"))).span(span)
    assert span.attributes == told


def test_user_ids_that_are_addresses_do_not_become_one_user_where_a_key_exists() -> None:
    redactor = Redactor(Policy(PolicySpec(key="k1")))
    spans = [raw(attributes={"user.id": u, "session.id": u}) for u in ("ann@example.com", "bob@example.com")]
    for span in spans:
        redactor.span(span)
    assert spans[0].attributes["user.id"] != spans[1].attributes["user.id"]
    assert spans[0].attributes["session.id"] != spans[1].attributes["session.id"]


def test_fields_are_dropped_hashed_redacted_or_kept_by_policy() -> None:
    spec = PolicySpec(key="k", fields={"secret.*": "drop", "id": "hash", "note": "redact", "mail": "keep"})
    span = raw(attributes={"secret.a": 1, "id": "7", "note": "hello", "mail": EMAIL, "other": "x"})
    counts = redact_raw(span, Policy(spec))
    assert span.attributes == {"id": keyed_hash("7", "k"), "note": "[REDACTED]", "mail": EMAIL, "other": "x"}
    assert counts == {"dropped": 1, "hashed": 1, "custom": 1}


def test_nesting_without_end_is_cut_and_counted() -> None:
    deep: Any = EMAIL
    for _ in range(200):
        deep = [deep]
    span = raw(attributes={"deep": deep})
    counts = redact_raw(span)
    assert counts == {"too_deep": 1} and b"ann.lee" not in msgspec.json.encode(span)


def test_surrogates_and_nul_do_not_stop_it() -> None:
    span = raw(attributes={"a": f"\ud800 {EMAIL} \x00"})
    assert redact_raw(span) == {"email": 1}
    assert span.attributes["a"] == "\ud800 [EMAIL] \x00"


@pytest.mark.parametrize("key", ["user.id", "session.id", "metadata.user_id", "customer_id"])
def test_a_number_to_be_called_is_hidden_as_somebodys_id_too(key: str) -> None:
    for number in ("+14155552671", "+49 170 1234567", "ann@example.com"):
        assert number not in str(Redactor().mapping({key: number}, Counter()))
    assert Redactor().mapping({key: "8812345678"}, Counter()) == {key: "8812345678"}
