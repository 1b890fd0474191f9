"""Personal data and secrets as other countries and vendors write them; all made up or published as examples."""

import pytest

from watchkeeper.redaction.find import find
from watchkeeper.redaction.prefilter import PATTERNS, Prefilter

FORMATS = {
    "phone": """+44 20 7946 0958
(02) 9374 4000
Telefon: 0171 2345678
tél. 06 12 34 56 78
móvil 612 345 678
+91-9876543210
手机 13800138000
+55 11 91234-5678
06-12345678
8 (495) 123-45-67
00 49 30 123456
+82 2-312-3456
+971 4 123 4567
{"phone": "+4915123456789"}
1 (800) 555-0199
+1 555 123 4567 ext. 12
+1\u2011415\u2011555\u20112671
+\u0669\u0666\u0666 \u0665\u0660 \u0661\u0662\u0663 \u0664\u0665\u0666\u0667
06.12.34.56.78
Bitte Rückruf unter 138-1234-5678
电话13800138000号""",
    "email": """用户@例子.广告
{"mail": "ann\\uff20example.com"}""",
    "ip": """/users/203.0.113.7/orders
请联系203.0.113.7谢谢
<v>203.0.113.7</v>""",
    "ssn": """(536-22-1234)
536\u201122\u20111234
{"note": "\\uff15\\uff13\\uff16-\\uff12\\uff12-\\uff11\\uff12\\uff13\\uff14"}""",
    "card": """3782 822463 10005
3056 930902 5904
2223 0031 2200 3222
5105105105105100 exp 12/29
4111.1111.1111.1111
4111\u00a01111\u00a01111\u00a01111
4111\u20131111\u20131111\u20131111
カード4111111111111111です
\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661""",
    "iban": """NL91 ABNA 0417 1643 00
gb82west12345698765432
AT61-1904-3002-3457-3201
DE89.3704.0044.0532.0130.00
SA03 8000 0000 6080 1016 7519
DE 89370400440532013000""",
    "national_id": """Passport No. 123456789
passport number C01X00T47
driver's license D1234567
TFN 123 456 782
CURP HEGG560427MVZRRL04
HEGG560427MVZRRL04
RUT 12.345.678-5
NRIC S1234567D
HKID A123456(3)
AHV 756.9217.0769.85
주민등록번호 900101-1234568
CNP 1800101221144
T.C. kimlik 10000000146
PPS 1234567T
ID number 8001015009087
Steuer-ID 86 095 742 719
(529.982.247-25)
AB-12-34-56-C
fødselsnummer 15076500565
NIF 123456789
マイナンバー 123456789018""",
    "secret": """https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX
6123456789:AAH-abcdefghijklmnopqrstuvwxyz01234
nvapi-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ
hvs.CAESIJabcdefghijklmnopqrstuvwxyz0123456789
dapi0123456789abcdef0123456789abcdef
glsa_abcdefghijklmnopqrstuvwxyz012345_0a1b2c3d
lsv2_pt_0123456789abcdef0123456789abcdef_0123456789
dckr_pat_abcdefghijklmnopqrstuvwxyz0
figd_abcdefghijklmnopqrstuvwxyz0123456789
PMAK-0123456789abcdef01234567-0123456789abcdef0123456789abcdef01
key-3ax6xnjp29jd6fds4gc373sgvjxteol0
AZURE_OPENAI_KEY=0123456789abcdef0123456789abcdef
postgres://user:p4ssw0rd@db.example.com/x
redis://:hunter22abc@cache:6379/0
Mein Passwort ist Sommer2024!
mot de passe : Soleil123
contraseña: Verano2024
пароль: Leto2024x
密码：Xiatian2024
DB_PASS=Xy7#kk21
--password hunter2x
<password>Pa55w0rd</password>
privateKey = "NcqVTSu7rtaUWM6ZO88eb0ogET9D9XyYq6B0Fi7FlaZ7"
Cookie: sessionid=nFmtX0moDoqW4sg8NFNl5oFA6Qd8Mj7z""",
}
CLEAN = """my passport expires in 2031
The national insurance rate is 12 %.
a driver's license costs 45 dollars and takes 10 days
NHS waiting lists grew to 7.6 million people in 2024
Medicare part B since 1965
CACHE_KEY=user_settings
export FOREIGN_KEY = orders
the key-value store keeps 1000000 rows
secret_santa_2024_list
version 756.12.3 of the tool
room AB12 on 01-02-2024
Chrome/120.0.0.0 Safari/537.36
Monday 9:00-17:00 2024-12-12
from 1996–2001 and 2010–2020
a cookie: chocolate chip
in 20 2024 pages of it
Das Passwort ist vergessen""".splitlines()


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in FORMATS.items() for text in texts.splitlines()]
)
def test_it_finds_other_formats(kind: str, text: str) -> None:
    assert kind in [f.kind for f in find(f"They wrote: {text}")]


@pytest.mark.parametrize("text", CLEAN)
def test_it_leaves_words_about_papers_and_keys_alone(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("engine", ["re2", "re"])
def test_every_engine_lets_the_same_texts_through(engine: str) -> None:
    quick, slow = Prefilter(PATTERNS), Prefilter(PATTERNS, engine)
    for text in [t for texts in FORMATS.values() for t in texts.splitlines() if t.isascii()]:
        assert sorted(quick.ids(text)) == sorted(slow.ids(text)), text


def test_a_password_in_an_address_is_named_a_secret() -> None:
    assert [f.kind for f in find("postgres://user:p4ssw0rd@db.example.com/x")] == ["secret"]
