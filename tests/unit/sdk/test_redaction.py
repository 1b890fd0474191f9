"""What the redactor hides, what it leaves alone, and that nothing private reaches the wire."""

import base64
import json
from typing import Any

import pytest

from tests.shared import shared_path
from tests.unit.redaction.test_formats import CLEAN, ENCODED, FORMATS, KEYS, made_like
from tests.unit.sdk.receiver import Receiver
from watchkeeper.redaction.find import find
from watchkeeper.redaction.verify import iban, luhn
from watchkeeper.sdk.redaction import Redactor, keyed_hash

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-def_ghi"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nabc\n-----END RSA PRIVATE KEY-----"

HIDDEN = [
    ("write to Anna.Lee+x@mail.example.co.uk.", "write to [EMAIL]."),
    ("<a@b.io>", "<[EMAIL]>"),
    ("https://x.example/?to=foo%40bar.com&x=1", "https://x.example/?to=[EMAIL]&x=1"),
    ("müller@straße.de", "[EMAIL]"),
    ("card 4111 1111 1111 1111 exp 12/27", "card [CARD] exp 12/27"),
    ("4111-1111-1111-1111", "[CARD]"),
    ("378282246310005", "[CARD]"),
    ("number:5555555555554444n", "number:[CARD]n"),
    ("４１１１ １１１１ １１１１ １１１１", "[CARD]"),
    ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [IBAN] please"),
    ("GB82WEST12345698765432", "[IBAN]"),
    ("SSN 078-05-1120", "SSN [SSN]"),
    ("social security number: 219099999", "social security number: [SSN]"),
    ("call (415) 555-2671 x12 now", "call [PHONE] now"),
    ("+44 20 7946 0958", "[PHONE]"),
    ("+1-202-555-0143", "[PHONE]"),
    ("0201 5550123 oder 030 12345678", "[PHONE] oder [PHONE]"),
    ("my phone: 5550143", "my phone: [PHONE]"),
    ("from 203.0.113.77:8080", "from [IP]:8080"),
    ("2001:db8::8a2e:370:7334", "[IP]"),
    ("key sk-proj-abc123DEF456ghi789jkl", "key [SECRET]"),
    ("wk_0123456789abcdefghij", "[SECRET]"),
    ("AKIAIOSFODNN7EXAMPLE", "[SECRET]"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[SECRET]"),
    ("xoxb-123456789012-abcdefghijkl", "[SECRET]"),
    ("AIzaSyA-1234567890abcdefghijklmnopqrstu", "[SECRET]"),
    ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer [SECRET]"),
    ("postgres://app:pa55w0rd@db/x", "postgres://[SECRET]@db/x"),
    ("PASSWORD='hunter22x'", "PASSWORD='[SECRET]'"),
    (f"token {JWT}!", "token [SECRET]!"),
    (f"see\n{PEM}\nend", "see\n[SECRET]\nend"),
    ("请联系4012888888881881谢谢", "请联系[CARD]谢谢"),
    ("电话13800138000号", "电话[PHONE]号"),
    ("请联系203.0.113.7谢谢", "请联系[IP]谢谢"),
    (
        "\u0664\u0660\u0661\u0662\u0668\u0668\u0668\u0668\u0668\u0668\u0668\u0668\u0661\u0668\u0668\u0661",
        "[CARD]",
    ),
    ("call +\u0669\u0666\u0666 \u0665\u0660 \u0661\u0662\u0663 \u0664\u0665\u0666\u0667", "call [PHONE]"),
    ("Passwort: Sommer2024!", "Passwort: [SECRET]"),
    ("密码：Xiatian2024", "密码：[SECRET]"),
    ("redis://:hunter22abc@cache:6379/0", "redis://[SECRET]@cache:6379/0"),
    (base64.b64encode(b"mail me at foo.bar@example.com").decode(), "[EMAIL]"),
]

LEFT = [
    "order 4155551234 shipped",
    "gpt-4o-2024-08-06 took 12.345 s",
    "on 2024-01-15 10:20:30, 12/31/2024 and 31.12.24",
    "version 1.2.3.4 on 127.0.0.1 or 0.0.0.0",
    "Chrome/120.0.0.0 Safari/537.36",
    "std::vector a::b 12:30:45 ::",
    "risk-based-approach-to-12-things-in-life",
    "ask-me-anything-about-2024-elections",
    "4111 1111 1111 1112 is no card",
    "nature.com/articles/s41467-020-19583-2",
    "ISBN 978-3-16-148410-0",
    "0.123456789 1,234,567.89 1000000",
    "tokens: 12345678, secret garden: none",
    "@user mentioned @ 5pm",
    "DE00 3704 0044 0532 0130 00",
    "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "Zwölf Boxkämpfer… jagen ½ Viktor™",
    "",
]


@pytest.mark.parametrize(("text", "expected"), HIDDEN)
def test_it_hides(text: str, expected: str) -> None:
    assert Redactor()(text) == expected


@pytest.mark.parametrize("text", LEFT)
def test_it_leaves_alone(text: str) -> None:
    assert Redactor()(text) == text


def test_check_digits_follow_their_standards() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert iban("GB82WEST12345698765432")
    assert not iban("GB83WEST12345698765432")


def test_it_hides_listed_names_and_custom_patterns() -> None:
    redactor = Redactor(names=["Ada Lovelace", "Bo"], patterns={"order no": r"ORD-\d{6}"})
    assert redactor("ada lovelace and Bo, not Bob: ORD-123456") == "[NAME] and [NAME], not Bob: [ORDER_NO]"


def test_json_stays_json_at_every_depth() -> None:
    inner = json.dumps({"k": "sk-abc1234567890abcdefgh", "n": "x\nfoo@bar.com"})
    given = json.dumps(
        {"a": [inner, 4111111111111111, 7], "me@x.org": "tel\t+44 20 7946 0958", "c": 'q "a@b.de"'}
    )
    got = json.loads(Redactor()(given))
    assert json.loads(got["a"][0]) == {"k": "[SECRET]", "n": "x\n[EMAIL]"}
    assert got["a"][1:] == ["[CARD]", 7]
    assert got["[EMAIL]"] == "tel\t[PHONE]"
    assert got["c"] == 'q "[EMAIL]"'
    untouched = '{ "spaced" :  [1, 2.50] }'
    assert Redactor()(untouched) == untouched


def test_it_finds_in_long_texts_what_it_finds_in_short_ones() -> None:
    filler = "the quick brown fox jumps over the lazy dog " * 3000
    got = Redactor()(f"{filler}foo@bar.com {filler}4111 1111 1111 1111\n{filler}")
    assert got == f"{filler}[EMAIL] {filler}[CARD]\n{filler}"


def test_the_keyed_hash_is_stable_and_keyed() -> None:
    token = keyed_hash("k")("ada@example.com")
    assert token == keyed_hash(b"k")("ada@example.com") != keyed_hash("other")("ada@example.com")
    assert token.startswith("u_")
    assert keyed_hash("k")(token) == token


def test_recall_on_labelled_texts() -> None:
    kinds = {"EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS", "PHONE_NUMBER"}
    hits, totals = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    redactor = Redactor()
    with shared_path("data/pii_synthetic.jsonl").open() as lines:
        for line in lines:
            row = json.loads(line)
            found = redactor.find(row["text"])
            for span in row["spans"]:
                if span["type"] in kinds:
                    totals[span["type"]] += 1
                    inside = any(f.start <= span["start"] and f.end >= span["end"] for f in found)
                    hits[span["type"]] += inside
    recall = {kind: hits[kind] / totals[kind] for kind in kinds}
    assert recall.pop("PHONE_NUMBER") >= 0.95
    assert min(recall.values()) >= 0.99, recall


def test_it_calls_almost_nothing_private_in_ordinary_questions() -> None:
    redactor = Redactor()
    with shared_path("data/banking77_intents.jsonl").open() as lines:
        texts = [json.loads(line)["text"] for line in lines]
    wrong = [text for text in texts if redactor.find(text)]
    assert len(texts) > 2000
    assert len(wrong) <= len(texts) * 0.001, wrong[:5]


PLANTS = [
    "anna.lee@example.com",
    "4111111111111111",
    "DE89370400440532013000",
    "sk-proj-abc123DEF456ghi789jkl",
]


def plant_everywhere(sdk: Any, provider: Any) -> None:
    text = " and ".join(PLANTS)
    with sdk.session("anna.lee@example.com"), sdk.span(f"name {PLANTS[0]}", kind="llm") as s:
        s.input([{"role": "user", "content": text}]).output({"nested": [text, {"deep": text}]})
        s.set("plain", text).set(PLANTS[0], "as key").set("list", [text, "x"]).set("number", 4111111111111111)
        s.documents([{"id": "1", "content": text}]).tool(
            "t", {"q": text}, json.dumps({"j": json.dumps(text)})
        )
        s.set("url", "https://e.example/?m=anna.lee%40example.com").set("bytes", text.encode())
        s.otel.add_event(f"event {PLANTS[0]}", {"body": text})
        s.error(f"failed for {text}")
    try:
        with sdk.span("raises"):
            raise ValueError(text)
    except ValueError:
        pass
    with provider.get_tracer("foreign").start_as_current_span(
        "foreign", attributes={"http.url": text}
    ) as foreign:
        foreign.set_attribute("raw", text)
        foreign.record_exception(KeyError(text))
    sdk.feedback("a" * 32, rating="down", comment=text, correction=text)
    sdk.score("mine", 1, trace_id="a" * 32, reason=text)


def test_no_planted_byte_reaches_the_wire(start: Any, receiver: Receiver) -> None:
    import watchkeeper

    plant_everywhere(watchkeeper, start())
    assert watchkeeper.flush()
    assert len(receiver.spans) == 3
    assert len(receiver.posts) == 2
    sent = b"\n".join(receiver.raw)
    assert [plant for plant in PLANTS if plant.encode() in sent] == []
    assert b"[EMAIL]" in sent


def test_the_plants_are_found_when_redaction_is_off(start: Any, receiver: Receiver) -> None:
    import watchkeeper

    plant_everywhere(watchkeeper, start(redact=False))
    assert watchkeeper.flush()
    sent = b"\n".join(receiver.raw)
    assert [plant for plant in PLANTS if plant.encode() not in sent] == []


def test_identities_are_hashed_and_stay_joinable(start: Any, receiver: Receiver) -> None:
    import watchkeeper

    start(hash_users="pepper")
    for user in ("ada@example.com", "bob", "ada@example.com"):
        with watchkeeper.session("mail-thread of ada@example.com", user_id=user), watchkeeper.span("s"):
            pass
    watchkeeper.flush()
    users = [span.attributes["user.id"] for span in receiver.spans]
    assert users[0] == users[2] != users[1]
    assert all(user.startswith("u_") for user in users)
    assert receiver.spans[0].attributes["gen_ai.conversation.id"].startswith("u_")


def test_an_identity_that_is_not_private_stays_readable(sdk: Any, receiver: Receiver) -> None:
    with sdk.session("chat-42", user_id="user-7"), sdk.span("s"):
        pass
    sdk.flush()
    assert receiver.span("s").attributes == {"gen_ai.conversation.id": "chat-42", "user.id": "user-7"}


def test_content_can_be_kept_home_entirely(start: Any, receiver: Receiver) -> None:
    import watchkeeper

    provider = start(capture_content=False)
    with watchkeeper.span("s", kind="llm", model="m") as s:
        s.input("private question").output("private answer").usage(1, 2)
    with provider.get_tracer("x").start_as_current_span(
        "f", attributes={"gen_ai.prompt.0.content": "private"}
    ):
        pass
    watchkeeper.flush()
    assert b"private" not in b"".join(receiver.raw)
    assert receiver.span("s").attributes["gen_ai.usage.input_tokens"] == 1


#: What the server finds and the SDK leaves to it: escapes of forms and pages, other scripts' encodings, checksums without a sign.
OTHER_FORMATS = [text for texts in FORMATS.values() for text in texts.splitlines()]


@pytest.mark.parametrize("text", [*OTHER_FORMATS, *ENCODED.values()])
def test_it_hides_what_the_server_would(text: str) -> None:
    assert find(text)
    assert Redactor()(text) != text


CARRIED = {
    "url": "https://x.example/?to=ann.lee%40example.com",
    "url twice": "https://x.example/?to=ann.lee%2540example.com",
    "form": "card=4111+1111+1111+1111",
    "characters of HTML": "ann.lee&#64;example.com",
    "characters of JSON": "\\u0061nn@example\\u002ecom",
    "invisible characters": "4111\u200b1111\u200b1111\u200b1111",
    "soft hyphens": "ann.lee@exam\u00adple.com",
    "mail": "ann.lee=40example.com",
    "a line that mail has broken": "write to ann.lee@exam=\r\nple.com",
}


@pytest.mark.parametrize("text", CARRIED.values(), ids=CARRIED)
def test_it_sees_through_what_the_server_sees_through(text: str) -> None:
    assert find(text)
    assert "[" in Redactor()(text)


def test_what_stands_beside_a_find_in_disguise_stays_as_it_was() -> None:
    assert Redactor()("Zwölf ½ ＡＢＣ ４１１１１１１１１１１１１１１１ ™") == "Zwölf ½ ＡＢＣ [CARD] ™"


@pytest.mark.parametrize("form", KEYS.split())
def test_it_hides_the_keys_of_the_servers_vendors(form: str) -> None:
    key = made_like(form)
    for text in (f"use {key} today", f'{{"key": "{key}"}}', f"密钥{key}谢谢"):
        assert key[-12:] not in Redactor()(text)


@pytest.mark.parametrize("text", CLEAN)
def test_it_leaves_alone_what_the_server_does(text: str) -> None:
    assert Redactor()(text) == text


def test_a_key_of_json_says_what_its_value_is() -> None:
    given = json.dumps({"password": "hunter22", "Reisepass": "CZVRN8CHY", "note": "hunter22"})
    assert json.loads(Redactor()(given)) == {
        "password": "[SECRET]",
        "Reisepass": "[NATIONAL_ID]",
        "note": "hunter22",
    }
