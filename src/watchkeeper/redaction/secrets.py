"""API keys by their prefixes, tokens, private keys, and values assigned to names like `password`."""

import re
from collections.abc import Iterator

from watchkeeper.redaction import spoken
from watchkeeper.redaction.keyforms import FORMS
from watchkeeper.redaction.verify import entropy
from watchkeeper.redaction.views import lower, tried
from watchkeeper.redaction.words import MADE_LIKE_A_KEY, NAMED, PASSWORDS, SECRETS, WEAK

_PREFIXED = re.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=/bot))(?:{'|'.join(begin + rest for begin, rest in FORMS)})", re.ASCII
)
_MADE = re.compile(rf"(?<![A-Za-z0-9]){MADE_LIKE_A_KEY}([\w-]{{18,}})", re.ASCII)
_SK = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}")
_PEM = re.compile(
    r"PuTTY-User-Key-File-\d.*?(?:Private-MAC: ?[0-9a-f]+|\Z)|"
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# In an address, in Oracle's, and as curl takes a name with its password.
_URL_PASSWORD = re.compile(
    r"://[^\s/:@]{0,64}:([^\s/@]{3,64})@|:thin:[^\s/@]{1,64}/([^\s/@]{3,64})@"
    r"|\s(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}:(?=[^\s\"']*[A-Za-z])(?=[^\s\"']*[^A-Za-z\s\"'])([^\s\"']{4,64})"
)
_ASSIGNED = re.compile(
    rf"(?P<key>{SECRETS})"
    r"\\?[\"']?\s{0,3}(?:\b(?:is|ist|lautet|est|es|é|è|is|är|jest|je|este|to)\b|:=|=>|[:=：>]|是|为|は|는|은|(?<=earer)\s|(?<=--password)\s|(?<=--token)\s)"
    r"\s{0,3}\\?[\"']?(?:(?:Bearer|Basic|Token|ApiKey|GenieKey|OAuth|DPoP)\s+)?(?P<value>[^\s\"'<>,;\\{}()\[\]]{6,512})",
    re.IGNORECASE,
)
_DULL = re.compile(
    r"(?:true|false|null|none|string|required|optional|example|changeme|your[-_\w]*|x+|\*+|\.+|<.*>|\$\{?.*|%\w.*|[\w.]+\(.*)\Z",
    re.IGNORECASE,
)
_PARTS = re.compile(r"[-_.:/]")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_PASSWORD = re.compile(PASSWORDS, re.IGNORECASE)
_WEAK = re.compile(WEAK, re.IGNORECASE)
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
    if _WEAK.fullmatch(key):
        return spoken.made_up(value)
    if len(bare) < 12 or not _mixed(bare):
        return False
    if _UUID.match(bare):
        # A token in an environment is a credential; elsewhere it may be a page's.
        return "key" in lowered or "secret" in lowered or key == "TOKEN"
    # Words and numbers side by side name something: a cache's key, a file, a date.
    if "secret" not in lowered and all(p.isalpha() or p.isdigit() for p in _PARTS.split(bare) if p):
        return False
    return entropy(bare) >= 3.2


def keys(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every key, token and private key that shows by its form; overlaps are possible."""
    for pattern in (_PREFIXED, _PEM):
        for match in pattern.finditer(text):
            yield match.span()
    for match in _MADE.finditer(text):
        if spoken.random(match.group(1)):
            yield match.span()
    for match in _SK.finditer(text):
        # `sk-` also starts words; a key mixes digits and letters at random.
        if _mixed(match.group(0)[3:]) and entropy(match.group(0)) >= 3.5:
            yield match.span()


def assigned(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every value given to a name such as `password`, and of passwords in URLs."""
    for match in _URL_PASSWORD.finditer(text):
        yield match.span(match.lastindex or 0)
    for match in tried(_ASSIGNED, text, NAMED):
        is_call = text[match.end("value") : match.end("value") + 1] == "("
        if not is_call and _is_secret(match.group("key"), match.group("value")):
            start, end = match.span("value")
            yield start, start + len(text[start:end].rstrip(".!?:"))
    yield from spoken.secrets(text, lower(text))
