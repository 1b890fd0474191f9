"""Personal data and secrets as other countries and vendors write them; all made up or published as examples."""

import base64
import re

import pytest

from watchkeeper.redaction.apply import redact_text
from watchkeeper.redaction.find import find
from watchkeeper.redaction.prefilter import first_pass

FORMATS = {
    "phone": """+44 20 7946 0958
tlf. 98 76 54 32
Tel: 06-45/333 1478
my number is (351) 925333147
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
电话13800138000号
请看13857062915谢谢
0612345678
07288 986265
0479/44.63.79
+49 (0) 89 / 1234567
337-8165081
0 (539) 630 21 71
(01632) 958717
697 84 47 28
%2B48+657+882+212
+39&nbsp;336&nbsp;912&nbsp;7977
{"q": "\\u7535\\u8bdd 13800138000"}""",
    "email": """用户@例子.广告
{"mail": "ann\\uff20example.com"}
{"args": "{\\"q\\": \\"ren\\\\u00e9e@caf\\\\u00e9.fr\\"}"}
ann&commat;example&period;com
john.doe [at] example [dot] com
jane(at)corp.io
mail me: sara dot lee at gmail dot com
hans.meier (at) web (punkt) de
\\x61\\x6e\\x6e\\x40\\x65\\x78.com""",
    "ip": """/users/203.0.113.7/orders
请联系203.0.113.7谢谢
<v>203.0.113.7</v>""",
    "ssn": """(536-22-1234)
536\u201122\u20111234
536 22 1234
{"note": "\\uff15\\uff13\\uff16-\\uff12\\uff12-\\uff11\\uff12\\uff13\\uff14"}""",
    "card": """3782 822463 10005
3056 930902 5904
4000000000000000006
6205500000000000004
4222222222222
30569309025904
2200 0000 0000 0004
9792 0304 0000 0006
note=4111+1111+1111+1111&x=1
4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
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
DE 89370400440532013000
LY83002048000020100120361
SO211000001001000100141""",
    "national_id": """Aadhar no: 242970842365
my SSN is 82692214396
social security no. 82692214396
आधार संख्या 236290102304
MBI: 1EG4TE5MK73
9PK1-YK4-KJ84
sofinummer 136320661
Personnr 6211174310
CNP-ul meu este 1401205467872
RRN 5301142986633
44051401359
passeport n° 19AV12345
passport_number: AB1234567
{"passport_no": "E12345678"}
AFL LLM 96B20 G287Z
Passport No. 123456789
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
マイナンバー 123456789018
ITIN 912-70-1234
11.222.333/0001-81
900101-1234567
85.07.30-033.28
112-233-445 95
20-12345678-6
784-1980-1234567-8
1-1037-02071-81-1
680920/9451
E616135(2)
A123456789
ABCPE1234F
GODE561231GR8
MORGA753116SM9IJ
12.345.678-Z
{"Reisepass": "CZVRN8CHY"}
<td>Passport No.</td><td>509113649</td>
Ausweisnummer LH8NWN69K
15076500565
パスポート番号 TK1234567
护照号码：E12345678
isikukood 37605030299
kennitala 120174-3399
Steuernummer 93815/08152
MRN: 00987654
sayı 10000000146 ile
com 11222333000181 hoje
it is 8001015009087 then""",
    "secret": """pat-na1-bb9520e0-f6c9-011d-9aba-555d27d7175c
https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX
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
Cookie: sessionid=nFmtX0moDoqW4sg8NFNl5oFA6Qd8Mj7z
lösenord: Sommar24x
la mia password è Estate2024
密码是Abc12345
curl -u admin:S3cr3tPw9 https://x.example.com
jdbc:oracle:thin:scott/T1gerT1ger@//db:1521/x
https://x.example.com/v1?key=SsUBLdWnxi21LKqenjIQTC3rNb3mbOF2s1t0
--token qcHGTZt7I47v7yVkwiQcNgPPMXlytTY7lcHVJGIS
CREATE USER x WITH PASSWORD 'Pg!user88'
machine x.io login bob password XuslpgXtobRvK4
lösenord Sommar#25
user: bob pass: zX9#kk21
ansible_become_pass: R00tMe!1
RAILWAY_TOKEN=0079a4d8-33e5-439a-92de-8de78860d8c6
Authorization: ApiKey 7iBgO24AE5tIrJrioseupfl1TOnnCHFifQTOm9m4xE==
{"number": "none", "cvv": "123"}
my PIN is 4821
OTP 771203
Your verification code is G-482913
recovery phrase: witch collapse practice feed shame open despair creek road again ice least
acme_live_9t7hZDSggDhvZipg8J7gHpNT8DX2""",
}
# A key of many vendors; {R40} is 40 random characters, D lower-case hexadecimal, C capitals and digits.
KEYS = """sk-svcacct-{R40} sk-ant-api03-{R50} ABIA{C16} ABSK{R56}{R56} bedrock-api-key-{R40} AQ.Ab8RN6{R44} 1//0F{R40} abc8Q~{R33}
LTAI{R20} AKID{R32} AQVN{R36} {R52}JQQJ99BA{R20} glimt-{R20} glpat-{R27}.01.abcdefghi GR1348941{R20} xoxd-{R40} xoxc-1234567890-{R40}
lin_oauth_{D64} rubygems_{D48} oy2{D43} cio{R32} dose{D32} Mh5VtsEwZGrW1OyDDBQX97Pj.HDLG6w.{R27} tgp_v1_{R43} csk-{D48} pa-{R43}
jina_{R56} fc-{D32} sk_{D48} wandb_v1_{R50} napi_{D64} vcp_{R56} vercel_blob_rw_{R40} nfp_{R36} rnd_{R28} fm2_{R56}{R40}
HRKU-AA{R56} pul-{D40} {R14}.atlasv1.{R56}{R12} {D36}FFFFNRAL ATBB{R32} sl.u.{R56}{R56}{R40} access-production-{U} shippo_live_{D40}
EZAK{R54} FLWSECK_TEST-{D32}-X rzp_live_{R14} xkeysib-{D64}-{R16} re_{R8}_{R24} duffel_live_{R43} tfp_{R44} rdme_{D64} pnu_{R36}
sha256~{R43} dt0c01.{C24}.{C56}{C8} sdk-{U} aio_{R28} CLOJARS_{D60} CFPAT-{R43} squ_{D40} sgp_{D40} ops_eyJ{R56}{R12} AKCp{R56}{R12}
tskey-auth-{R12}-{R32} phx_{R43} CCIPAT_{R22}_{D40} bkua_{D40} A3-{C6}-{C6}-{C5}-{C5}-{C5} ico-{R32} AVNS_{R19} polar_oat_{R43}
access_token$production${D16}${D32} EAAAl{R40} sgp_{R56}Zx81kPq0 pk_12345678_{C32} hcaik_01{D58} IQoJb3JpZ2luX2Vj{R56}{R56}
essu_{R56} https://hooks.zapier.com/hooks/catch/1234567/ow0qkkn/ n8n_api_{D40} mdb_sa_sk_{R40} snyk_uat.{D8}.{R56}"""
_PARTS = {
    "R": "Zx81kPq0vN5tR7yBmW3cLs9dHf2gJ4aKeU6iO8pQrT1wXyA0bC5nDq7E",
    "D": "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "C": "ZX81KPQ0VN5TR7YBMW3CLS9DHF2GJ4AKEU6IO8PQRT1WXYA0BC5NDQ7E",
    "U": "0079a4d8-33e5-439a-92de-8de78860d8c6",
}
ENCODED = {
    "base64 of other letters": base64.b64encode("Grüße an ann@example.com – schön".encode()).decode(),
    "base64 of two-byte text": base64.b64encode("mail ann@example.com now".encode("utf-16-le")).decode(),
    "base64 in lines": base64.encodebytes(
        b"lorem ipsum dolor sit amet, consectetur adipiscing " + b"ann@example.com" * 3
    ).decode(),
    "hexadecimal": b"mail ann@example.com now".hex(),
}
CLEAN = """customer number 82223779
git clone git@github.com:acme/app.git
10.20.0.0/16 is private
look at domain dot com names
scale(at) 3 points and map(at)foo
pass: 100.00% in 12 runs
2 pass top5@k
the password reset2024 page, password SHA256
pin = 13 and PIN: 560001
verification code expired after 600 s
security code of 2024
passport 2024-11-22
recovery phrase with twelve words is what you write down and keep away from every screen
call the function with 1234567 iterations
a ring buffer of 1048576 bytes
phone model SM-G991B, build 20240315
NDC 0781-1506-10
SSN must have nine digits
44151401359 is no day of a birth
1760000000000
ASIN B00MNV8E0C and 7XX99CC12AA
x = 3 if a == 40 else b=
my passport expires in 2031
The national insurance rate is 12 %.
a driver's license costs 45 dollars and takes 10 days
NHS waiting lists grew to 7.6 million people in 2024
Medicare part B since 1965
CACHE_KEY=user_settings
CACHE_KEY=user_settings_2024
https://example.com/list?key=first-page-2024
export FOREIGN_KEY = orders
the key-value store keeps 1000000 rows
secret_santa_2024_list
version 756.12.3 of the tool
room AB12 on 01-02-2024
Chrome/120.0.0.0 Safari/537.36
Monday 9:00-17:00 2024-12-12
from 1996–2001 and 2010–2020
a cookie: chocolate chip
"total_duration":89755999449,"eval_duration":12345678901
EAN 4006381333931
arn:aws:iam::672492746017:role/x
netmask 255.255.240.0
https://shop.example.com/dp/0890135428
my_test_functionThatDoesSomething2 and get_api_response_for_user_v2
687 255 205 inhabitants
chr6:26292188-86567887
docker run -u 1000:1000 app
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
1+1+1=3 and 12+34+56
0 1 0 0 1 1 0 1 0 0 1 0 1 1 0 1
Mrs. Roe Suite 680 36 4022 Oakridge Lane
in 20 2024 pages of it
at 1704067200000 and 1712345678901 ms
order id: 52998224725
/orders/52998224725
Das Passwort ist vergessen""".splitlines()


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in FORMATS.items() for text in texts.splitlines()]
)
def test_it_finds_other_formats(kind: str, text: str) -> None:
    assert kind in [f.kind for f in find(f"They wrote: {text}")]


def made_like(form: str) -> str:
    """A key of a form in `KEYS`."""
    return re.sub(r"\{([RDCU])(\d*)\}", lambda m: _PARTS[m[1]][: int(m[2] or 99)], form)


@pytest.mark.parametrize("form", KEYS.split())
def test_it_knows_the_keys_of_many_vendors(form: str) -> None:
    key = made_like(form)
    for text in (f"use {key} today", f'{{"key": "{key}"}}', f"密钥{key}谢谢"):
        cleaned, counts = redact_text(text)
        assert set(counts) == {"secret"} and key[-12:] not in cleaned, cleaned


@pytest.mark.parametrize("text", ENCODED.values(), ids=ENCODED)
def test_it_looks_into_encoded_text(text: str) -> None:
    assert [f.kind for f in find(f"data {text}")] == ["email"]


@pytest.mark.parametrize("text", CLEAN)
def test_it_leaves_words_about_papers_and_keys_alone(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("engine", ["re2", "re"])
def test_every_engine_lets_the_same_texts_through(engine: str) -> None:
    quick, slow = first_pass(), first_pass(engine)
    for text in [t for texts in FORMATS.values() for t in texts.splitlines() if t.isascii()]:
        assert sorted(quick.ids(text)) == sorted(slow.ids(text)), text


def test_a_password_in_an_address_is_named_a_secret() -> None:
    assert [f.kind for f in find("postgres://user:p4ssw0rd@db.example.com/x")] == ["secret"]
