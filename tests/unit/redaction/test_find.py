"""What is found, what is not, and through which disguises."""

import base64
import json
import random
import urllib.parse
import uuid

import pytest

from tests.shared import shared_path
from watchkeeper.redaction.apply import redact_text
from watchkeeper.redaction.find import find
from watchkeeper.redaction.policy import CustomPattern, Policy, PolicySpec
from watchkeeper.redaction.prefilter import first_pass

FOUND = [
    ("mail ann.lee+tag@mail.example.co.uk now", "email"),
    ("card 4111 1111 1111 1111 exp", "card"),
    ("amex 3782-822463-10005", "card"),
    ("pay to GB82 WEST 1234 5698 7654 32 today", "iban"),
    ("de89370400440532013000", "iban"),
    ("ssn 078-05-1120", "ssn"),
    ("my social security number is 078051120", "ssn"),
    ("CPF 111.444.777-35", "national_id"),
    ("DNI 12345678Z", "national_id"),
    ("NINO AB123456C", "national_id"),
    ("codice RSSMRA85T10A562S", "national_id"),
    ("Aadhaar 2341 2341 2346", "national_id"),
    ("HETU 131052-308T", "national_id"),
    ("身份证 11010519491231002X", "national_id"),
    ("PESEL 44051401359", "national_id"),
    ("from 86.121.97.248 at noon", "ip"),
    ("from 2001:db8:85a3::8a2e:370:7334 at noon", "ip"),
    ("call +49 170 1234567", "phone"),
    ("call (415) 555-2671 x12", "phone"),
    ("my number is 0660 565 36 45", "phone"),
    ("phone: 5552671234", "phone"),
    ("key AKIAIOSFODNN7EXAMPLE", "secret"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "secret"),
    ("sk-proj-4f9aKq7ZpX2mVb8LrT6wYc1N", "secret"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "secret"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "secret"),
    ("password = hunter2!", "secret"),
    ('{"client_secret": "Zx81kPq0vN5tR7yB"}', "secret"),
    ("postgres://bob:s3cretpw@db/app", "secret"),
]


@pytest.mark.parametrize(("text", "kind"), FOUND)
def test_it_finds(text: str, kind: str) -> None:
    assert [f.kind for f in find(text)] == [kind]


CLEAN = [
    "order 4539148803436468 was shipped",  # fails the card checksum
    "tracking number 60090304719469",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
    "call_MY94XAcnfHzfAZcVHqt5FRRQ",
    "1716239022, 1716239022123, 1716239022123456789",
    "2026-05-14T10:22:33.123456Z and 14.05.2026 and 05/14/2026",
    "between 2019-2021 sales rose",
    "version 1.2.3.4 of the driver",
    "listening on 127.0.0.1 and 0.0.0.0",
    "std::vector<int> and a::b",
    "ISBN 978-3-16-148410-0",
    "114-3941689-8772232",
    "1,234,567.89 EUR, 12.5 %",
    "the token is good, the secret of happiness is simple",
    "max_tokens: 1024, token_count=88112233",
    "password: required",
    "sk-learn-is-a-library-for-machine-learning",
    "ssn 000-12-3456",
    "ssn 666-12-3456 or 900-12-3456",
    "GB82 WEST 1234 5698 7654 33",
    "@decorator and user@localhost",
    "0.4539148803436467",
    "flight HAT030, reservation JG7FMM, gift_card_3481935",
]


@pytest.mark.parametrize("text", CLEAN)
def test_it_leaves_alone(text: str) -> None:
    assert find(text) == []


def test_benign_identifiers_in_thousands_raise_nothing() -> None:
    rng = random.Random(1)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    makers = [
        lambda: str(uuid.UUID(int=rng.getrandbits(128))),
        lambda: f"{rng.getrandbits(64):016x}",
        lambda: f"{rng.getrandbits(128):032x}",
        lambda: str(rng.randint(1_600_000_000, 1_900_000_000)),
        lambda: (
            f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T1{rng.randint(0, 9)}:22:33.{rng.randint(0, 999999):06d}Z"
        ),
        lambda: f"order {rng.randint(10**6, 10**9)} was shipped",
        lambda: repr(rng.random() * 1000),
        lambda: (
            f"version {rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 200)}"
        ),
        lambda: f"tracking number {rng.randint(10**11, 10**14)}",
        lambda: f"total {rng.randint(1, 999)},{rng.randint(100, 999)}.{rng.randint(10, 99)} EUR",
        lambda: "call_" + "".join(rng.choices(letters, k=24)),
        lambda: f"SKU {rng.randint(1000, 9999)}-{rng.randint(100, 999)}-{rng.randint(10, 99)}",
    ]
    wrong = [text for _ in range(4000) for text in [rng.choice(makers)()] if find(text)]
    assert wrong == []


PLANT = "ann.lee@example.com"


@pytest.mark.parametrize(
    "carrier",
    [
        "{}",
        json.dumps({"a": json.dumps({"b": "line\n" + PLANT})}),
        urllib.parse.quote("to=" + PLANT, safe=""),
        base64.b64encode(f"contact {PLANT} please".encode()).decode(),
        base64.urlsafe_b64encode(f"contact {PLANT} please".encode()).decode(),
        PLANT.replace("@", "＠"),
        PLANT.replace("a", "𝐚"),
        "ann.lee\u200b@example.com",
        "ann.lee&#64;example.com",
        r"ann.lee\u0040example.com",
        "x" * 5000 + " " + PLANT,
    ],
)
def test_it_looks_through_disguises(carrier: str) -> None:
    text = carrier.replace("{}", PLANT)
    cleaned, counts = redact_text(text)
    assert counts == {"email": 1} and "[EMAIL]" in cleaned and "ann.lee" not in cleaned


def test_a_card_after_an_escaped_line_break_is_found_at_any_depth() -> None:
    once = json.dumps("x\n4111111111111111")
    for text in (once, json.dumps(once), json.dumps(json.dumps(once))):
        assert "4111" not in redact_text(text)[0]


@pytest.mark.parametrize("before", ["a line\n", "a column\t", "卡号是", "numéro\u00a0: "])
def test_a_card_after_any_encoded_character_is_found(before: str) -> None:
    text = f"{before}4111111111111111"
    for encoded in (urllib.parse.quote(text, safe=""), "/x?" + urllib.parse.urlencode({"q": f"{text} now"})):
        assert redact_text(encoded)[1] == {"card": 1}, encoded


def test_what_stands_after_an_equals_sign_is_read_as_it_stands_and_as_mail_escapes_it() -> None:
    card = "4012 8888 8888 1881"
    for text in (f"card={card}&amp;x=1", f"https://shop.example/u?card={urllib.parse.quote(card)}&x=1"):
        assert redact_text(text)[1] == {"card": 1}, text
    for text in ("ann.lee=40example.com", "ann.=\r\nlee=40example.com", '"ann.lee=40example.com\\nB"'):
        assert redact_text(text)[1] == {"email": 1}, text


def test_a_card_on_the_second_line_of_a_hexadecimal_text_is_found() -> None:
    assert redact_text(b"see:\n4111111111111111\nbelow".hex()) == ("[CARD]", {"card": 1})


def test_a_name_list_and_own_patterns() -> None:
    spec = PolicySpec(names=("Jane Roe",), patterns=(CustomPattern("case number", r"CASE-\d+"),))
    text, counts = redact_text("Ms jane  roe has CASE-77; Janet stays", Policy(spec))
    assert text == "Ms [NAME] has [CASE_NUMBER]; Janet stays" and counts == {"name": 1, "custom": 1}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (PolicySpec(kinds=("emial",)), "privacy.kinds"),
        (PolicySpec(patterns=(CustomPattern("x", "(?=a)"),)), "privacy.patterns.x"),
        (PolicySpec(patterns=(CustomPattern("x", "a*"),)), "empty text"),
        (PolicySpec(user_ids="hash"), "privacy.key"),
        (PolicySpec(fields={"a": "remove"}), "privacy.fields.a"),
    ],
)
def test_a_wrong_policy_says_where(spec: PolicySpec, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Policy(spec)


def test_an_evil_own_pattern_is_quick() -> None:
    policy = Policy(PolicySpec(patterns=(CustomPattern("x", r"(a+)+$"),)))
    assert find("a" * 100_000 + "!", policy) == []


@pytest.mark.parametrize("engine", ["re2", "re"])
def test_the_fallback_engines_see_what_hyperscan_sees(engine: str) -> None:
    fast, slow = first_pass(engine="hyperscan"), first_pass(engine=engine)
    for text in [t for t, _ in FOUND] + CLEAN:
        assert sorted(slow.ids(text)) == sorted(fast.ids(text)), text


KINDS = {
    "PHONE_NUMBER": ("phone", 0.95),
    "CREDIT_CARD": ("card", 0.99),
    "US_SSN": ("ssn", 0.95),
    "IBAN_CODE": ("iban", 0.99),
    "EMAIL_ADDRESS": ("email", 0.99),
    "IP_ADDRESS": ("ip", 0.95),
}


def test_recall_and_precision_on_labelled_text() -> None:
    lines = shared_path("data/pii_synthetic.jsonl").read_text(encoding="utf-8").splitlines()
    hit: dict[str, list[bool]] = {}
    right = wrong = 0
    for row in map(json.loads, lines):
        found = find(row["text"])
        labelled = [s for s in row["spans"] if s["type"] in KINDS]
        for span in labelled:
            covered = any(f.start <= span["start"] and f.end >= span["end"] for f in found)
            hit.setdefault(span["type"], []).append(covered)
        for f in found:
            touches = any(f.start < s["end"] and s["start"] < f.end for s in labelled)
            right, wrong = right + touches, wrong + (not touches)
    for type_, (_, floor) in KINDS.items():
        assert sum(hit[type_]) / len(hit[type_]) >= floor, type_
    assert right / (right + wrong) >= 0.98
