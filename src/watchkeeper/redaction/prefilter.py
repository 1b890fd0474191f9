"""One fast pass that says which kinds can occur at all: hyperscan where its wheel exists, else RE2, else `re`."""

import importlib.util
import re
import threading
from collections.abc import Sequence
from typing import Any

EMAIL, DIGITS, IBAN, IPV4, IPV6, SECRET, ALNUM_ID, ESCAPED, RUN, ASSIGNED, SAID_ID = range(11)

# What people call a password. Bytes beyond ASCII have no other case here, so both are written.
PASSWORDS = (
    r"passw(?:or)?[dt]|passphrase|pwd|(?-i:_PASS)|kennwort|contrase(?:ñ|n)a|senha|mot de passe|wachtwoord|has(?:ł|l)o|(?:П|п)ароль"
    r"|密码|密碼|パスワード|비밀번호"
)
# As `secrets._ASSIGNED` up to its value: names alone (`token limit`) are far more frequent than assignments.
_ASSIGNED = (
    rf"(?i:(?:{PASSWORDS}|secret|(?:api|access|account|secret|private)[_ -]?key|token|credentials?|authorization"
    r"|cookie|bearer|(?-i:_KEY))\\?[\"']?\s{0,3}(?:is|es|é|är|jest|:|=|>|：)|(?:bearer\\?[\"']?|--password)\s)"
)
_PREFIXES = (
    r"eyJ[A-Za-z0-9_-]{6}|-----BEGIN|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abposre]-|xapp-|sk-|[srp]k_(?:live|test)_"
    r"|AIza|ya29\.|whsec_|SG\.|npm_|pypi-|hf_|gsk_|do[opr]_v1_|shp(?:at|ss|ca|pa)_|key-[0-9a-z]{32}|xai-|pplx-|lin_api_|wk_|sq0|AccountKey"
    r"|gl(?:rt|dt|ptt|ft|cbt|oas|soat|agent)-|GOCSPX-|EAA[A-Za-z0-9]{28}|r8_|amzn\.mws|lsv2_|ls__|nvapi-|AT[AC]TT|figd_|dckr_|ntn_"
    r"|secret_[A-Za-z0-9]{43}|sb[ps]_|sb_secret_|pat[A-Za-z0-9]{14}\.|dp\.[a-z]{2,5}\.\w|hv[sbr]\.|PMAK-|NR(?:AK|II|JS|RA)-|sntry[su]_"
    r"|glsa_|glc_|dapi[0-9a-f]{32}|tvly-|pcsk_|fw_|pscale_|SK[0-9a-f]{32}|[0-9a-f]{32}-us\d|AGE-SECRET|\d{8}:AA|hooks\.slack|\/api\/webhooks"
)
# Papers that carry a person's number, with no short names that are also words.
ID_DOCUMENTS = (
    r"passports?|reisepass|pasaporte|passeport|driv(?:er(?:'?s|s')?|ing)[ _-]licen[cs]e|national[ _-](?:id(?:entity|entification)?|insurance)"
    r"|(?:identity|id)[ _-]card|personalausweis|\bid number|tax[ _-](?:file|id)|\btfn\b|medicare|\bnhs\b|\bnino\b|\bdni\b|\bcurp\b|\bnric\b|\bhkid\b"
    r"|\bpps[n ]|\bcpf\b|\bcnp\b|\begn\b|kimlik|\bahv\b|rodn\S+ \S{4,6}lo|my number|personnummer|aadhaar|codice fiscale"
    r"|f(?:ø|oe|o)dselsnummer|\bcpr\b|cpr-n|rijksregister\w*|\bsvnr\b|sozialversicherungs\w*|\bnif\b|\brut\b|マイナンバー|個人番号|주민등록번호"
)
_URL_PASSWORD = r":\/\/[^\s/:@]{0,64}:[^\s/@]{3,64}@"
PATTERNS: tuple[str, ...] = (
    r"[^\s,;:<>()\[\]]@[^\s,;:<>()\[\]]",
    r"\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d",
    r"[A-Za-z]{2}\d{2}[ .-]?[A-Za-z0-9]{4}[ .-]?[A-Za-z0-9]{4}|[A-Z]{2} \d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
    r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
    r"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:|[0-9A-Fa-f]::[0-9A-Fa-f]",
    _PREFIXES,
    r"\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]|\d{7}-?[A-Z]|\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}|\d{6}[-+A]\d{3}[0-9A-Z]"
    r"|\d{6}[HM][A-Z]{5}",
    r"%[2-7][0-9A-Fa-f]|\\u(?:00|201[0-2]|[Ff]{2}[0-5]|066|06[Ff]|096)|\\[nrt\"'/]|&#",
    r"[A-Za-z0-9+/]{16}",
    rf"{_ASSIGNED}|{_URL_PASSWORD}",
    rf"(?i:{ID_DOCUMENTS})",
)


def _collect(pattern_id: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.append(pattern_id)


class Prefilter:
    """Which of `PATTERNS` occur in a text."""

    def __init__(self, patterns: Sequence[str] = PATTERNS, engine: str = "auto") -> None:
        """`engine`: auto, hyperscan, re2 or re."""
        self.engine = engine if engine != "auto" else _best()
        self._local = threading.local()
        self._database: Any = None
        self._others: list[Any] = []
        if self.engine == "hyperscan":
            import hyperscan as hs

            self._hs: Any = hs
            self._database = hs.Database()
            self._database.compile(
                expressions=[p.encode() for p in patterns],
                ids=list(range(len(patterns))),
                elements=len(patterns),
                flags=[hs.HS_FLAG_SINGLEMATCH] * len(patterns),
            )
        elif self.engine == "re2":
            import re2

            self._others = [re2.compile(p) for p in patterns]
        else:
            self._others = [re.compile(p) for p in patterns]

    def ids(self, text: str) -> list[int]:
        """Indices of the patterns that occur, in no order."""
        if self._database is None:
            return [i for i, p in enumerate(self._others) if p.search(text) is not None]
        # Scratch space belongs to one scan at a time, so each thread has its own.
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = self._hs.Scratch(self._database)
        found: list[int] = []
        self._database.scan(
            text.encode("utf-8", "replace"), match_event_handler=_collect, context=found, scratch=scratch
        )
        return found


def _best() -> str:
    return next((name for name in ("hyperscan", "re2") if importlib.util.find_spec(name) is not None), "re")
