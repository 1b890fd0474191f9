"""API keys by their prefixes, tokens, private keys, and values assigned to names like `password`."""

import re
from collections.abc import Iterator

from watchkeeper.redaction import prefilter
from watchkeeper.redaction.verify import entropy

_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}|glpat-[\w-]{20,}"
    r"|xox[abposre]-[\w-]{10,}|xapp-[\w-]{10,}"
    r"|[srp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}"
    r"|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}|key-[0-9a-z]{32}|xai-[\w-]{30,}|pplx-[\w-]{30,}"
    r"|lin_api_\w{30,}|wk_[\w-]{20,}|sq0[a-z]{3}-[\w-]{22,}"
    r"|gl(?:rt|dt|ptt|ft|cbt|oas|soat|agent)-[\w-]{20,}|GOCSPX-[\w-]{24,}|EAA[A-Za-z0-9]{28,}|r8_[A-Za-z0-9]{30,}"
    r"|amzn\.mws\.[0-9a-f-]{30,}|lsv2_[a-z]{2}_[0-9a-f]{32}_[0-9a-f]{8,}|ls__[0-9a-f]{32}|nvapi-[\w-]{40,}|AT[AC]TT[\w=-]{40,}"
    r"|figd_[\w-]{30,}|dckr_[a-z]{3}_[\w-]{20,}|ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}(?!\w)|sb[ps]_[0-9a-f]{40}|sb_secret_[\w-]{20,}"
    r"|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|dp\.[a-z]{2,5}\.[\w.]{40,}|hv[sbr]\.[\w-]{20,}|PMAK-[0-9a-f]{24}-[0-9a-f]{34}"
    r"|NR(?:AK|II|JS|RA)-[\w-]{20,}|sntry[su]_[\w=+/-]{20,}|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[A-Za-z0-9+/=]{32,}"
    r"|dapi[0-9a-f]{32}(?:-\d)?(?!\w)|tvly-[\w-]{20,}|pcsk_\w{40,}|fw_[A-Za-z0-9]{22,}(?!\w)|pscale_[a-z]{2,5}_[\w.-]{30,}"
    r"|SK[0-9a-f]{32}(?!\w)|[0-9a-f]{32}-us\d{1,2}(?!\w)|AGE-SECRET-KEY-1[0-9A-Z]{50,}|\d{8,10}:AA[\w-]{32,34}(?![\w-])"
    r"|hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}|discord(?:app)?\.com/api/webhooks/\d{15,}/[\w-]{40,}"
    r")"
)
_SK = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_URL_PASSWORD = re.compile(r"://[^\s/:@]{0,64}:([^\s/@]{3,64})@")
_ASSIGNED = re.compile(
    rf"(?P<key>{prefilter.PASSWORDS}|secret|(?:api|access|account|secret|private)[_ -]?key|token|credentials?|authorization"
    r"|cookie|bearer|(?-i:_KEY))"
    r"\\?[\"']?\s{0,3}(?:\b(?:is|ist|est|es|é|is|är|jest)\b|:=|=>|[:=：>]|(?<=earer)\s|(?<=--password)\s)\s{0,3}\\?[\"']?(?:(?:Bearer|Basic|Token)\s+)?"
    r"(?P<value>[^\s\"'<>,;\\{}()\[\]]{6,512})",
    re.IGNORECASE,
)
_NAMES = (
    "passw", "passphrase", "pwd", "secret", "api", "access", "account", "private", "token", "credential", "authorization",
    "cookie", "bearer", "_key", "_pass", "kennwort", "contrase", "senha", "mot de passe", "wachtwoord", "has\u0142o", "\u043f\u0430\u0440\u043e\u043b\u044c", "密码", "密碼",
    "パスワード", "비밀번호",
)  # fmt: skip
# Letters that `re` takes for an ASCII letter in another case, although lower case does not make them one.
_ODD_CASES = frozenset("\u017f\u0131\u0130\u212a")
_DULL = re.compile(
    r"(?:true|false|null|none|string|required|optional|example|changeme|your[-_\w]*|x+|\*+|\.+|<.*>|\$\{?.*|%\w.*|[\w.]+\(.*)\Z",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_PASSWORD = re.compile(prefilter.PASSWORDS, re.IGNORECASE)
SECRET_KEYS = re.compile(
    r"(?:^|[._-])(?:authorization|x-api-key|api[_-]?key|cookie|set-cookie|password|passwd|client[_-]?secret|access[_-]?token"
    r"|proxy-authorization|private[_-]?key)$",
    re.IGNORECASE,
)


def _mixed(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _is_secret(key: str, value: str) -> bool:
    """Whether an assigned value can be a credential: a password may be short, a token must be long and random."""
    bare = value.rstrip(".!?:")
    if _DULL.match(bare):
        return False
    lowered = key.lower()
    if _PASSWORD.fullmatch(key):
        plain_word = bare.isalpha()
        return not plain_word and len(bare) >= 6 and (any(c.isdigit() for c in bare) or entropy(bare) >= 3.0)
    if len(bare) < 12 or not _mixed(bare):
        return False
    if _UUID.match(bare):
        return "key" in lowered or "secret" in lowered
    return entropy(bare) >= 3.2


def keys(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every key, token and private key that shows by its form; overlaps are possible."""
    for pattern in (_PREFIXED, _PEM):
        for match in pattern.finditer(text):
            yield match.span()
    for match in _SK.finditer(text):
        # `sk-` also starts words; a key mixes digits and letters at random.
        if _mixed(match.group(0)[3:]) and entropy(match.group(0)) >= 3.5:
            yield match.span()


def _assignments(text: str) -> Iterator[re.Match[str]]:
    """What `_ASSIGNED.finditer` gives, tried only where one of its names begins: about ten times as fast."""
    lowered = text.lower()
    if len(lowered) != len(text) or not _ODD_CASES.isdisjoint(text):
        yield from _ASSIGNED.finditer(text)
        return
    starts: set[int] = set()
    for name in _NAMES:
        at = lowered.find(name)
        while at >= 0:
            starts.add(at)
            at = lowered.find(name, at + 1)
    end = 0
    for start in sorted(starts):
        if start >= end:
            match = _ASSIGNED.match(text, start)
            if match is not None:
                yield match
                end = match.end()


def assigned(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every value given to a name such as `password`, and of passwords in URLs."""
    for match in _URL_PASSWORD.finditer(text):
        yield match.span(1)
    for match in _assignments(text):
        is_call = text[match.end("value") : match.end("value") + 1] == "("
        if not is_call and _is_secret(match.group("key"), match.group("value")):
            start, end = match.span("value")
            yield start, start + len(text[start:end].rstrip(".!?:"))
